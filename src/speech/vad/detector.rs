//! The interface of a detector.

use super::GateConfig;

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
