//! AIC-A, the neural voice codec: packets, files, sender, receiver and the engine.
//!
//! [`controller`] has the sender's decisions. The crate `auralink_codec` computes, and has [`packet`], the
//! payload of RTP and of files, and [`container`], the `.aic` file; [`engine`] has its weights and streams.
//!
//! Invariant: no GStreamer and no network in here.

pub mod choice;
pub mod content;
pub mod controller;
pub mod engine;
pub mod engine_health;
pub mod engine_timeout;
pub mod fallback;
pub mod hints;
pub mod mean_size;
pub mod payload;
pub mod predict;
pub mod quality;
pub mod ratio;
pub mod receive;
pub mod send;
pub mod voice_packets;
pub mod weights;

pub use auralink_codec::{FRAME_SAMPLES, RATE_HZ, container, packet, resample};

/// Why AIC-A is not available on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The file that was named is not there, or there is no model card beside the weights.
    #[error("there are no weights")]
    Weights,
}

impl Missing {
    /// How to enable it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Weights => {
                "let AURALINK_AIC_WEIGHTS name a file with its card (.json) beside it, or unset it"
            }
        }
    }
}

/// The weights that are used on this machine, and their model.
///
/// # Errors
/// What is missing.
pub fn available() -> Result<(weights::Weights, weights::ModelId), Missing> {
    let found = weights::find().ok_or(Missing::Weights)?;
    let id = found.id().ok_or(Missing::Weights)?;
    Ok((found, id))
}
