//! The engine of AIC-A in its own process, and the handles to it.
//!
//! ```text
//!  appliance                                        auralink engine aic
//!  Encoder::encode ─┐  bounded queue                ┌─ frames that wait at the same moment
//!  Decoder::decode ─┼─────────────────▶ stdin ─────▶│  are one pass of the network
//!   (any number)   ◀┴── a box each ◀── stdout ◀─────┘
//! ```
//!
//! [`Codec::shared`] starts one child for all streams of this process; it ends with the last
//! handle. A child that dies or hangs fails the frames that wait, and another one starts after a
//! pause; it is used only when it is warm.
//!
//! Invariant: a caller never waits longer than its deadline, and nothing queues up behind a late
//! child: at most three frames of a stream are under way.

mod child;
mod client;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

pub use client::{Codec, Decoder, Encoder};
pub use serve::serve;

/// Why a frame was not coded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// This machine has no engine or no weights; the text is the remedy.
    #[error("the voice codec AIC-A is off: {0}")]
    NotThere(String),
    /// The engine is loading its weights.
    #[error("the engine of AIC-A is starting")]
    Starting,
    /// The child ended or hung; another one starts after a pause.
    #[error("the engine of AIC-A died: {0}")]
    Died(String),
    /// No answer within this time, or too many frames of this stream are under way.
    #[error("the engine of AIC-A did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The engine could not process this frame.
    #[error("the engine of AIC-A failed at a frame")]
    Failed,
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
            Self::Died(_) => "died",
            Self::Late(_) => "late",
            Self::Failed => "failed",
            Self::Altered => "checksum",
        }
    }
}
