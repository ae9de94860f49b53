//! Voice activity: the probability of speech, every 32 ms or more often.
//!
//! Two detectors behind one trait, both with their weights in the program. [`Silero`] separates
//! speech from noise well and runs in whisper.cpp. [`Earshot`] is pure Rust and cheaper, but
//! sometimes takes a crying baby, a dog or a chainsaw for speech; it is the last resort. [`Gate`]
//! turns the probabilities into open and closed.

mod detector;
mod earshot;
mod gate;
mod silero;

pub use self::earshot::Earshot;
pub use detector::Detector;
pub use gate::{Edge, Gate, GateConfig, SpeechSegment};
pub use silero::{Error, Silero};

/// Sample rate of all audio for engines.
pub const SPEECH_RATE_HZ: usize = 16_000;

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
