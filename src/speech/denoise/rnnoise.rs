//! RNNoise, with its weights inside the crate `nnnoiseless`.

use nnnoiseless::DenoiseState;

use super::frame::{FRAME_SAMPLES, Frame, limited};

const _: () = assert!(FRAME_SAMPLES == DenoiseState::FRAME_SIZE);

/// Its output is this many frames later than its input, because neighbouring frames overlap.
pub(super) const RNNOISE_DELAY_FRAMES: usize = 1;

/// The network was trained on 16-bit audio.
const FULL_SCALE_LEVEL: f32 = 32_768.0;

/// The network for one channel.
pub(super) struct Rnnoise(Box<DenoiseState<'static>>);

impl Rnnoise {
    pub(super) fn new() -> Self {
        Self(DenoiseState::new())
    }

    /// Takes a frame; `cleaned` becomes the previous one without noise. Returns the probability of
    /// speech, or `None`, with `cleaned` useless, if the numbers had become infinite: the network
    /// then begins anew.
    pub(super) fn clean(&mut self, frame: &Frame, cleaned: &mut Frame) -> Option<f32> {
        let input = limited(frame).map(|x| x * FULL_SCALE_LEVEL);
        let probability = self.0.process_frame(cleaned, &input);
        if !(probability.is_finite() && cleaned.iter().all(|x| x.is_finite())) {
            // A recurrent state that is not finite never recovers.
            *self = Self::new();
            return None;
        }
        for sample in cleaned.iter_mut() {
            *sample /= FULL_SCALE_LEVEL;
        }
        Some(probability)
    }
}
