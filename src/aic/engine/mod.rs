//! The engine of AIC-A: weights that all streams share, and a handle per stream and direction.
//!
//! A frame takes a fraction of a millisecond of one core, like Opus, and like Opus it is computed on
//! the thread that brings it: no queue, no lock between streams, no process. Only loading takes
//! longer, so a thread of its own does it.
//!
//! Invariant: a frame costs a bounded number of operations, whatever its content. A machine that
//! still takes longer than the deadline reports each such frame, and Opus takes over.

mod codec;
mod load;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use codec::Codec;
pub use load::{LoadError, load};
pub use stream::{Decoder, Encoder};

/// Why a frame was not coded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// This machine has no weights, or cannot use them; the text is the remedy.
    #[error("the voice codec AIC-A is off: {0}")]
    NotThere(String),
    /// The weights are being loaded.
    #[error("the engine of AIC-A is starting")]
    Starting,
    /// The frame took longer than this time.
    #[error("the engine of AIC-A needed more than {} ms for a frame", .0.as_millis())]
    Late(Duration),
    /// A payload differs from what its sender wrote, by the checksum in its hints.
    #[error("payloads are not what was sent")]
    Altered,
}

impl CodecError {
    /// A short name of the kind, for messages and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotThere(_) => "not-there",
            Self::Starting => "starting",
            Self::Late(_) => "late",
            Self::Altered => "checksum",
        }
    }
}
