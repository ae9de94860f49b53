//! AIC-A, the neural voice codec: packets, files, and (feature `aic`) the engine.
//!
//! The pure part is always built: [`packet`] is the payload of RTP and of files, [`container`] the
//! `.aic` file, [`controller`] the sender's decisions. The engine in `audio` needs libtorch (1 GB),
//! so it is a cargo feature.
//!
//! Invariant: no GStreamer and no network in here.

#[cfg(feature = "aic")]
pub mod audio;
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

/// Samples of a frame: 20 ms.
pub const FRAME_SAMPLES: usize = 320;

/// Delay of the decoder's output behind the encoder's input, in samples: 10 ms. With the frame
/// itself the algorithmic latency is 30 ms.
pub const DELAY_SAMPLES: usize = 160;

/// Why AIC-A is not available on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The program was built without libtorch.
    #[error("this build has no engine for it")]
    Engine,
    /// No weights were found, or no model card beside them.
    #[error("there are no weights")]
    Weights,
}

impl Missing {
    /// How to enable it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Engine => "make aic && make run",
            Self::Weights => "put weights and card into models/aic-audio (its README trains some)",
        }
    }
}

/// The model that is used on this machine.
///
/// # Errors
/// What is missing.
pub fn available() -> Result<weights::ModelId, Missing> {
    if !cfg!(feature = "aic") {
        return Err(Missing::Engine);
    }
    weights::find().and_then(|path| weights::id(&path)).ok_or(Missing::Weights)
}
