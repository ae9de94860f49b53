//! The header extension `aic-hints`: describes a packet in ten bytes (`docs/aic-rtp.md`, section
//! 7).
//!
//! SRTP leaves header extensions unencrypted, so this contains figures of the codec and nothing
//! about the speaker or the speech.

use super::weights::ModelId;

/// URI of the extension, for `extmap` and `gst_rtp_header_extension_create_from_uri`.
pub const URI: &str = "urn:x-auralink:rtp-hdrext:aic-hints:1";

/// Bytes of the extension.
pub const HINTS_BYTES: usize = 10;

/// Version of the extension (`docs/aic-rtp.md`).
const HINTS_VERSION: u8 = 0;

/// The sender's classification of its audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not stated.
    Unknown,
    /// Speech.
    Speech,
    /// Music or noise.
    Other,
    /// Background only.
    Background,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Unknown, "unknown"),
    (Kind::Speech, "speech"),
    (Kind::Other, "other"),
    (Kind::Background, "background"),
];

impl Kind {
    /// The name in metas and messages.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, name)| name)
    }

    /// The kind with this name; `Unknown` for other names.
    pub fn named(name: &str) -> Self {
        KINDS.iter().find(|(_, n)| *n == name).map_or(Self::Unknown, |(kind, _)| *kind)
    }
}

/// The hints of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hints {
    /// Classification of the audio.
    pub kind: Kind,
    /// Expected ratio of 256 kbit/s to the rate on the wire; 0: not stated.
    pub predicted: f64,
    /// Ratio of 256 kbit/s to the recent rate on the wire; 0: not stated.
    pub achieved: f64,
    /// Loudness, root mean square, -127 to 0 dBFS.
    pub loudness: f64,
    /// Weights of the sender.
    pub model: ModelId,
    /// CRC-16 of the payload, see [`checksum`].
    pub checksum: u16,
}

impl Hints {
    /// Serialises the hints.
    pub fn write(&self) -> [u8; HINTS_BYTES] {
        let kind = KINDS.iter().position(|(kind, _)| *kind == self.kind).unwrap_or(0);
        let mut bytes = [0; HINTS_BYTES];
        bytes[0] = HINTS_VERSION << 4 | kind as u8;
        bytes[1] = ratio_byte(self.predicted);
        bytes[2] = ratio_byte(self.achieved);
        bytes[3] = (-self.loudness).clamp(0.0, 127.0).round() as u8;
        bytes[4..8].copy_from_slice(&self.model);
        bytes[8..].copy_from_slice(&self.checksum.to_be_bytes());
        bytes
    }

    /// Parses the hints; `None` for another length or version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HINTS_BYTES] = bytes.try_into().ok()?;
        if bytes[0] >> 4 != HINTS_VERSION {
            return None;
        }
        let kind = KINDS.get(usize::from(bytes[0] & 15)).map_or(Kind::Unknown, |(kind, _)| *kind);
        Some(Self {
            kind,
            predicted: ratio(bytes[1]),
            achieved: ratio(bytes[2]),
            loudness: -f64::from(bytes[3] & 127),
            model: [bytes[4], bytes[5], bytes[6], bytes[7]],
            checksum: u16::from_be_bytes([bytes[8], bytes[9]]),
        })
    }
}

/// Ratio in sixteenths of an octave; zero means not stated.
fn ratio_byte(ratio: f64) -> u8 {
    if ratio > 0.0 { (16.0 * ratio.log2()).round().clamp(1.0, 255.0) as u8 } else { 0 }
}

fn ratio(byte: u8) -> f64 {
    if byte == 0 { 0.0 } else { (f64::from(byte) / 16.0).exp2() }
}

/// CRC-16/IBM-3740 (polynomial 0x1021, start 0xffff).
pub fn checksum(payload: &[u8]) -> u16 {
    payload.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let hints = Hints {
            kind: Kind::Speech,
            predicted: 16.0,
            achieved: 0.0,
            loudness: -26.0,
            model: [0x4f, 0xd1, 0xc0, 0xde],
            checksum: checksum(b"123456789"),
        };
        let bytes = [0x01, 64, 0, 26, 0x4f, 0xd1, 0xc0, 0xde, 0x29, 0xb1];
        assert_eq!(hints.write(), bytes);
        assert_eq!(Hints::read(&bytes), Some(hints));
        assert_eq!(Hints::read(&bytes[..9]), None);
        assert_eq!(Kind::named(Kind::Background.name()), Kind::Background);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(hints) = Hints::read(&bytes) {
                prop_assert!(hints.predicted.is_finite() && (-127.0..=0.0).contains(&hints.loudness));
            }
        }
    }
}
