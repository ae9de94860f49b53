//! Voice activity: the probability of speech, every 32 ms or more often.
//!
//! Two detectors behind one trait, both with their weights in the program. [`Silero`] separates
//! speech from noise well and runs in whisper.cpp. [`Earshot`] is pure Rust and cheaper, but
//! sometimes takes a crying baby, a dog or a chainsaw for speech; it is the last resort. [`Gate`]
//! turns the probabilities into open and closed.

mod gate;
mod silero;

pub use gate::{Edge, Gate, GateConfig, Spoken};
pub use silero::Silero;

/// Sample rate of all audio for engines.
pub const RATE: usize = 16_000;

/// Judges audio, 16 kHz mono, frame by frame.
pub trait Detector: Send {
    /// Samples of a frame: at most 512, which is 32 ms.
    fn frame(&self) -> usize;

    /// Probability of speech in the frame, 0-1. It must have [`Detector::frame`] samples.
    fn probability(&mut self, frame: &[f32]) -> f32;

    /// Forgets past audio: the next frame does not continue it.
    fn reset(&mut self);

    /// Thresholds that suit its probabilities.
    fn thresholds(&self) -> GateConfig;
}

/// Why a detector is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no memory for the network's weights.
    #[error("cannot lay out the Silero model in memory")]
    Memory(#[source] std::io::Error),
    /// whisper.cpp rejects the model.
    #[error("cannot load the Silero model: {0}")]
    Model(String),
}

/// Earshot: frames of 16 ms.
pub struct Earshot(Box<earshot::Detector>);

impl Default for Earshot {
    fn default() -> Self {
        Self(earshot::Detector::default_boxed())
    }
}

impl Detector for Earshot {
    fn frame(&self) -> usize {
        256
    }

    fn probability(&mut self, frame: &[f32]) -> f32 {
        if frame.len() != self.frame() {
            return 0.0;
        }
        let p = self.0.predict_f32(frame);
        if p.is_finite() { p.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn thresholds(&self) -> GateConfig {
        GateConfig { on: 0.8, off: 0.5, ..GateConfig::default() }
    }
}

/// The detector for a stream: Silero, or Earshot if Silero does not load, which is logged.
pub fn detector() -> Box<dyn Detector> {
    match Silero::new() {
        Ok(silero) => Box::new(silero),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "voice activity: earshot");
            Box::new(Earshot::default())
        }
    }
}

#[cfg(test)]
mod tests;
