//! Earshot: a detector in pure Rust.

use super::{Detector, GateConfig};

/// Samples of a frame: 16 ms at 16 kHz.
const FRAME_SAMPLES: usize = 256;

/// Earshot: frames of 16 ms.
pub struct Earshot(Box<earshot::Detector>);

impl Default for Earshot {
    fn default() -> Self {
        Self(earshot::Detector::default_boxed())
    }
}

impl Detector for Earshot {
    fn frame(&self) -> usize {
        FRAME_SAMPLES
    }

    fn probability(&mut self, frame: &[f32]) -> f32 {
        let Ok(frame) = <&[f32; FRAME_SAMPLES]>::try_from(frame) else { return 0.0 };
        // Decoders overshoot, and the detector panics at that.
        let within =
            frame.map(|sample| if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) });
        let p = self.0.predict_f32(&within);
        if p.is_finite() { p.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn thresholds(&self) -> GateConfig {
        GateConfig { on: 0.8, off: 0.5, ..GateConfig::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_beyond_full_scale_is_only_loud() {
        let mut detector = Earshot::default();
        for sample in [1.5, -3.0, f32::NAN, f32::INFINITY] {
            let probability = detector.probability(&[sample; FRAME_SAMPLES]);
            assert!((0.0..=1.0).contains(&probability), "{sample}: {probability}");
        }
        assert_eq!(detector.probability(&[0.1; 3]), 0.0, "no frame");
    }
}
