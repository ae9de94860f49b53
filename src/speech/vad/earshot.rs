//! Earshot: a detector in pure Rust.

use super::{Detector, GateConfig};

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
