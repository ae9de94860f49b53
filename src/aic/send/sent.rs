//! What the sender gives out: payloads with their codec, or the reason why there are none.

use crate::aic::engine::CodecError;
use crate::aic::fallback::OpusError;
use crate::aic::packet::PacketError;

/// The codec of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// AIC-A.
    Aic,
    /// Embedded Opus.
    Opus,
}

impl Used {
    /// The name in properties and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aic => "aic",
            Self::Opus => "opus",
        }
    }
}

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingPacket {
    /// Serialised payload.
    pub payload: Vec<u8>,
    /// Index of the payload's first frame that is not redundant, from 0.
    pub first: u64,
    /// Number of frames of 20 ms, without redundant ones.
    pub frames: u64,
    /// Whether it is the first after a silence that was not sent: the RTP marker.
    pub spurt: bool,
    /// Whether nothing follows for a while.
    pub comfort: bool,
    /// Its codec.
    pub used: Used,
}

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// libopus failed.
    #[error("Opus cannot encode")]
    Opus(#[from] OpusError),
    /// A packet cannot be written.
    #[error("a packet cannot be written")]
    Packet(#[from] PacketError),
    /// The weights are not there; does not happen while frames wait that they made.
    #[error("the codes cannot be packed")]
    Codec(#[from] CodecError),
}
