//! `cc_data()`: the caption data of a picture for CEA-608 and CEA-708 (ANSI/CTA-708-E section 4.4,
//! ATSC A/53 part 4 section 6.2.3).

use std::time::Duration;

/// A field of line 21: the first carries CC1 and CC2, the second CC3 and CC4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// CC1 and CC2.
    One,
    /// CC3 and CC4, and data about the programme (XDS).
    Two,
}

impl Field {
    /// Both fields, in transmission order.
    pub const BOTH: [Field; 2] = [Field::One, Field::Two];

    /// Index of the field: 0 or 1.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// Most triplets per picture: the count has five bits.
pub(super) const TRIPLETS_MAX: usize = 31;

/// A CEA-608 pair without content, with parity.
pub(super) const NOTHING: [u8; 2] = [0x80, 0x80];

/// One construct of `cc_data()`: a byte of flags and two of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet(pub [u8; 3]);

/// The content of a triplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pair of CEA-608 bytes.
    Line21(Field, [u8; 2]),
    /// The first two bytes of a DTVCC packet.
    Start([u8; 2]),
    /// Two further bytes of the packet.
    Continued([u8; 2]),
    /// No content.
    Padding,
}

impl Triplet {
    /// A padding triplet.
    pub(super) const PADDING: Triplet = Triplet([0xfa, 0, 0]);

    pub(super) fn line21(field: Field, [a, b]: [u8; 2]) -> Self {
        Triplet([0xfc | field as u8, a, b])
    }

    /// The content of the triplet. CEA-608 pairs without content are padding too.
    pub(super) fn kind(self) -> Kind {
        let Triplet([flags, a, b]) = self;
        let data = [a, b];
        match flags & 0x07 {
            0x04 | 0x05 if a & 0x7f == 0 && b & 0x7f == 0 => Kind::Padding,
            0x04 => Kind::Line21(Field::One, data),
            0x05 => Kind::Line21(Field::Two, data),
            0x06 => Kind::Continued(data),
            0x07 => Kind::Start(data),
            _ => Kind::Padding,
        }
    }
}

/// Triplets of a picture of this duration: 600 per second at whole frame rates (20 at 30 and 29.97,
/// 24 at 25, 10 at 60 Hz), at least 3, at most 31.
pub(super) fn triplets_of(span: Duration) -> usize {
    let count = (span.as_secs_f64() * 600_000.0 / 1001.0).round() as usize;
    count.clamp(3, TRIPLETS_MAX)
}

/// A DTVCC packet of these service blocks as triplets (section 5): at most 127 bytes of blocks.
/// `sequence` counts packets; only two bits of it are sent.
pub(super) fn packet(sequence: u8, blocks: &[u8]) -> Vec<Triplet> {
    // The size counts pairs, header byte included; 64 is written as 0.
    let pairs = blocks.len().min(127) / 2 + 1;
    let header = (sequence & 0x03) << 6 | (pairs as u8 & 0x3f);
    let mut bytes = vec![header];
    bytes.extend_from_slice(&blocks[..blocks.len().min(127)]);
    bytes.resize(pairs * 2, 0);
    let triplet =
        |(n, pair): (usize, &[u8])| Triplet([if n == 0 { 0xff } else { 0xfe }, pair[0], pair[1]]);
    bytes.chunks_exact(2).enumerate().map(triplet).collect()
}

/// Serialises `cc_data()` with its header and end marker.
pub(super) fn write(triplets: &[Triplet]) -> Vec<u8> {
    let triplets = &triplets[..triplets.len().min(TRIPLETS_MAX)];
    let mut out = Vec::with_capacity(3 + triplets.len() * 3);
    out.extend([0xc0 | triplets.len() as u8, 0xff]);
    out.extend(triplets.iter().flat_map(|t| t.0));
    out.push(0xff);
    out
}

/// The triplets of a `cc_data()`, without an incomplete one at the end.
pub(super) fn read(bytes: &[u8]) -> Vec<Triplet> {
    let [flags, _, rest @ ..] = bytes else { return Vec::new() };
    if flags & 0x40 == 0 {
        return Vec::new();
    }
    let count = usize::from(flags & 0x1f);
    rest.chunks_exact(3).take(count).map(|t| Triplet([t[0], t[1], t[2]])).collect()
}

/// A byte with its parity bit set for odd parity.
pub(super) fn with_parity(byte: u8) -> u8 {
    let byte = byte & 0x7f;
    if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte }
}

#[cfg(test)]
mod tests {
    use cea708_types::{CCDataParser, Framerate};

    use super::*;

    #[test]
    fn the_count_follows_the_frame_rate() {
        for (numer, denom, expect) in [
            (30, 1, 20),
            (30_000, 1001, 20),
            (24_000, 1001, 25),
            (25, 1, 24),
            (50, 1, 12),
            (60, 1, 10),
        ] {
            let rate = Framerate::new(numer, denom);
            let span = Duration::from_secs_f64(f64::from(rate.denom()) / f64::from(rate.numer()));
            assert_eq!(triplets_of(span), expect, "{numer}/{denom}");
        }
        assert_eq!(triplets_of(Duration::from_secs(1)), TRIPLETS_MAX);
        assert_eq!(triplets_of(Duration::ZERO), 3);
    }

    #[test]
    fn a_packet_is_read_by_another_reader() {
        // A service block of service 1 with "Hi!".
        let blocks = [0x23, b'H', b'i', b'!'];
        let mut triplets = vec![Triplet::line21(Field::One, NOTHING)];
        triplets.extend(packet(6, &blocks));
        triplets.resize(20, Triplet::PADDING);
        let written = write(&triplets);
        assert_eq!(read(&written), triplets);
        let mut parser = CCDataParser::new();
        parser.push(&written[..written.len() - 1]).expect("parses");
        let read = parser.pop_packet().expect("a packet");
        assert_eq!((read.sequence_no(), read.services()[0].number()), (2, 1));
        let text: String = read.services()[0].codes().iter().filter_map(|c| c.char()).collect();
        assert_eq!(text, "Hi!");
    }

    #[test]
    fn whatever_comes_is_read_without_fear() {
        assert_eq!(read(&[]), []);
        assert_eq!(read(&[0x5f, 0xff, 0xfc, 1]), []);
        assert_eq!(read(&[0x9f, 0xff, 0xfc, 1, 2]), []);
        assert_eq!(read(&[0x5f, 0xff, 0xfc, 1, 2, 3]), [Triplet([0xfc, 1, 2])]);
    }
}
