//! RTP packets that all viewers of a source share.

use std::sync::Arc;
use std::time::Instant;

/// Length of the fixed part of an RTP header in bytes (RFC 3550 section 5.1).
const HEADER_BYTES: usize = 12;

/// One RTP packet of a source. Cloning shares the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Sequence number, extended to 64 bits by the source.
    pub(super) number: u64,
    /// RTP timestamp, in units of the codec's clock rate.
    pub(super) time: u32,
    /// RTP marker bit.
    pub(super) marker: bool,
    /// Decoding can start with this packet.
    pub(super) is_start: bool,
    /// When its media was captured.
    pub(super) captured: Instant,
    pub(super) payload: Arc<[u8]>,
}

impl Packet {
    /// Reads a packet of a payloader, without padding. `is_start`: decoding can start here. `None`
    /// if it is not RTP.
    pub fn parse(rtp: &[u8], captured: Instant, is_start: bool) -> Option<Self> {
        let fixed = rtp.get(..HEADER_BYTES)?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut at = HEADER_BYTES + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let words = u16::from_be_bytes(rtp.get(at + 2..at + 4)?.try_into().ok()?);
            at += 4 + 4 * usize::from(words);
        }
        Some(Self {
            number: u64::from(u16::from_be_bytes([fixed[2], fixed[3]])),
            time: u32::from_be_bytes(fixed[4..8].try_into().ok()?),
            marker: fixed[1] & 0x80 != 0,
            is_start,
            captured,
            payload: rtp.get(at..)?.into(),
        })
    }

    /// RTP timestamp, in units of the codec's clock rate.
    pub fn time(&self) -> u32 {
        self.time
    }

    /// What follows the RTP header.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The same packet; `is_start`: decoding can start here.
    pub fn with_start(self, is_start: bool) -> Self {
        Self { is_start, ..self }
    }

    /// The same packet with another RTP timestamp.
    pub(super) fn at(&self, time: u32) -> Self {
        Self { time, ..self.clone() }
    }

    /// Extends the 16-bit sequence number to the one nearest to the packet before it.
    pub(super) fn extend(&mut self, before: Option<u64>) {
        let Some(before) = before else { return };
        let step = (self.number as u16).wrapping_sub(before as u16) as i16;
        self.number = before.saturating_add_signed(i64::from(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_any_length_are_read() {
        let now = Instant::now();
        let mut rtp = vec![0x80, 0xe0, 0x12, 0x34, 0, 0, 1, 0, 9, 9, 9, 9];
        rtp.extend(b"media");
        let packet = Packet::parse(&rtp, now, false).expect("RTP");
        assert_eq!((packet.number, packet.time, packet.marker), (0x1234, 256, true));
        assert_eq!(&*packet.payload, b"media");
        // One contributing source and an extension of one word.
        rtp[0] = 0x91;
        rtp.splice(12..12, [1, 1, 1, 1, 0xbe, 0xde, 0, 1, 2, 2, 2, 2]);
        let packet = Packet::parse(&rtp, now, false).expect("RTP");
        assert_eq!(&*packet.payload, b"media");
        assert!(Packet::parse(&rtp[..20], now, false).is_none(), "cut off");
        assert!(Packet::parse(&[0; 12], now, false).is_none(), "another version");
    }

    #[test]
    fn numbers_continue_over_65535_and_keep_holes() {
        let numbered = |number| Packet {
            number,
            time: 0,
            marker: false,
            is_start: false,
            captured: Instant::now(),
            payload: [].into(),
        };
        let extended = |number, before| {
            let mut packet = numbered(number);
            packet.extend(before);
            packet.number
        };
        assert_eq!(extended(65_535, None), 65_535);
        assert_eq!(extended(0, Some(65_535)), 65_536);
        assert_eq!(extended(3, Some(65_536)), 65_539);
        assert_eq!(extended(65_535, Some(65_537)), 65_535, "one that comes late");
    }
}
