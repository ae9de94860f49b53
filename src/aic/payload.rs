//! The content of one RTP packet of the payload type AIC-A: an AIC-A packet, or one Opus packet.
//!
//! The first two bits distinguish them (`docs/aic-rtp.md`, section 3): 2 and 3 are AIC-A
//! packets; with 1 the rest is one Opus packet (RFC 6716). So a sender can fall back for any packet without a
//! change of the payload type, the clock rate or the SSRC.
//!
//! Invariant: pure, and no input causes a panic or takes more memory than [`OPUS_BYTES_MAX`]
//! explains.

use super::packet::{Coded, PacketError};

/// Longest embedded Opus packet in bytes: the first byte and one frame, which has at most 1275 (RFC
/// 6716 section 3.2.1).
pub const OPUS_BYTES_MAX: usize = 1276;

/// Longest payload in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 + OPUS_BYTES_MAX;

/// First byte of a payload with an Opus packet.
const OPUS_TYPE_CODE: u8 = 0x40;

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Frames of AIC-A.
    Aic(Coded),
    /// One Opus packet, 1 to [`OPUS_BYTES_MAX`] bytes, which only libopus validates.
    Opus(Vec<u8>),
}

impl Payload {
    /// Parses exactly one payload.
    ///
    /// # Errors
    /// The bytes are invalid, as for [`Coded::read`].
    pub fn read(bytes: &[u8]) -> Result<Self, PacketError> {
        match bytes {
            [OPUS_TYPE_CODE] => Err(PacketError::Short { have: 1, want: 2 }),
            [OPUS_TYPE_CODE, opus @ ..] if opus.len() > OPUS_BYTES_MAX => {
                Err(PacketError::Long(opus.len() - OPUS_BYTES_MAX))
            }
            [OPUS_TYPE_CODE, opus @ ..] => Ok(Self::Opus(opus.to_vec())),
            [first, ..] if first >> 6 == OPUS_TYPE_CODE >> 6 => Err(PacketError::Reserved),
            _ => Coded::read(bytes).map(Self::Aic),
        }
    }

    /// Serialises the payload.
    ///
    /// # Errors
    /// An Opus packet is empty or too long.
    pub fn write(&self) -> Result<Vec<u8>, PacketError> {
        match self {
            Self::Aic(packet) => Ok(packet.bytes().to_vec()),
            Self::Opus(opus) if opus.is_empty() => Err(PacketError::Short { have: 1, want: 2 }),
            Self::Opus(opus) if opus.len() > OPUS_BYTES_MAX => {
                Err(PacketError::Long(opus.len() - OPUS_BYTES_MAX))
            }
            Self::Opus(opus) => Ok([&[OPUS_TYPE_CODE], &opus[..]].concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_byte_tells_which() {
        for bytes in [vec![0x80, 1, 2], [&[0xc0][..], &[7; 7]].concat()] {
            let packet = Coded::read(&bytes).expect("valid");
            assert_eq!(Payload::read(&bytes), Ok(Payload::Aic(packet)));
        }
        let opus = Payload::Opus(vec![0x78, 1, 2]);
        assert_eq!(opus.write().expect("valid"), [0x40, 0x78, 1, 2]);
        assert_eq!(Payload::read(&[0x40, 0x78, 1, 2]), Ok(opus));
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let check = |bytes: &[u8], expect| assert_eq!(Payload::read(bytes), Err(expect));
        check(&[], PacketError::Short { have: 0, want: 1 });
        check(&[0x40], PacketError::Short { have: 1, want: 2 });
        check(&[0x41, 0], PacketError::Reserved);
        // The version of senders before 2.
        check(&[0x00, 0x10, 0, 0], PacketError::Version(0));
        let long = [&[0x40][..], &[0; OPUS_BYTES_MAX + 2]].concat();
        check(&long, PacketError::Long(2));
        assert!(Payload::Opus(Vec::new()).write().is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..1400)) {
            if let Ok(payload) = Payload::read(&bytes) {
                prop_assert_eq!(payload.write().expect("was read"), bytes);
            }
        }
    }
}
