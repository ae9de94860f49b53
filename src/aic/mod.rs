//! AIC-A, the neural voice codec: packets, files, sender, receiver and the engine.
//!
//! [`packet`] is the payload of RTP and of files, [`container`] the `.aic` file, [`controller`] the
//! sender's decisions. The crate `auralink_codec` computes; [`engine`] has its weights and streams.
//!
//! Invariant: no GStreamer and no network in here.

pub mod choice;
pub mod container;
pub mod content;
pub mod controller;
pub mod engine;
pub mod engine_health;
pub mod engine_timeout;
pub mod fallback;
#[cfg(test)]
mod fuzz;
pub mod hints;
pub mod mean_size;
pub mod packet;
pub mod payload;
pub mod predict;
pub mod quality;
pub mod ratio;
pub mod receive;
pub mod resample;
pub mod send;
pub mod weights;

/// Samples per second of the codec; there is one channel.
pub const RATE_HZ: u32 = 16_000;

pub use auralink_codec::FRAME_SAMPLES;

/// Why AIC-A is not available on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No weights were found, or no model card beside them.
    #[error("there are no weights")]
    Weights,
}

impl Missing {
    /// How to enable it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Weights => "put aic-a2.safetensors and aic-a2.json into models/aic-audio",
        }
    }
}

/// The model that is used on this machine.
///
/// # Errors
/// What is missing.
pub fn available() -> Result<weights::ModelId, Missing> {
    weights::find().and_then(|path| weights::id(&path)).ok_or(Missing::Weights)
}
