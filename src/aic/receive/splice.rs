//! How audio joins what came before: a repeat of the last 20 ms if there is nothing new, and a
//! crossfade if another codec continues.

use crate::aic::fallback::WIDE_FRAME_SAMPLES;

/// How long the old codec plays alone until the new one has started, in samples at 48 kHz: 8 ms.
const HOLD_SAMPLES: usize = 384;
/// Length of the crossfade: 10 ms.
const CROSSFADE_SAMPLES: usize = 480;
/// Frames over which repeats fade to silence if the engine returns none: 80 ms. More repeats are
/// heard as a buzz.
const REPEATED_FRAMES: f32 = 4.0;

/// The last 20 ms of the output.
pub(super) struct Tail {
    /// Interleaved samples.
    samples: Vec<f32>,
    channels: usize,
    /// Number of repeats so far.
    repeats: u32,
}

impl Tail {
    /// Silence.
    pub(super) fn new(channels: usize) -> Self {
        Self { samples: vec![0.0; WIDE_FRAME_SAMPLES * channels], channels, repeats: 0 }
    }

    /// Silence again.
    pub(super) fn reset(&mut self) {
        self.samples.fill(0.0);
        self.repeats = 0;
    }

    /// Remembers the end of the output.
    pub(super) fn keep(&mut self, out: &[f32]) {
        let length = self.samples.len();
        if let Some(from) = out.len().checked_sub(length) {
            self.samples.copy_from_slice(&out[from..]);
        }
    }

    /// The engine works again: the next repeat is the first.
    pub(super) fn restored(&mut self) {
        self.repeats = 0;
    }

    /// Root mean square.
    pub(super) fn loudness(&self) -> f32 {
        let power = self.samples.iter().map(|x| x * x).sum::<f32>() / self.samples.len() as f32;
        power.sqrt()
    }

    /// Appends the last 20 ms reversed, so that it continues without a step, and softer each time.
    pub(super) fn repeat(&mut self, out: &mut Vec<f32>) {
        let gain = |repeats: u32| (1.0 - repeats as f32 / REPEATED_FRAMES).max(0.0);
        let (from, to) = (gain(self.repeats), gain(self.repeats + 1));
        // The tail was already lowered to `from` by the previous repeats.
        let relative = if from > 0.0 { to / from } else { 0.0 };
        self.repeats = self.repeats.saturating_add(1);
        for (at, sample) in self.samples.chunks_exact(self.channels).rev().enumerate() {
            let share = at as f32 / WIDE_FRAME_SAMPLES as f32;
            out.extend(sample.iter().map(|x| x * (1.0 + share * (relative - 1.0))));
        }
    }
}

/// Fades from `old` to `new`, in `new`; both interleaved. Does nothing if `old` is empty.
pub(super) fn crossfade(old: &[f32], new: &mut [f32], channels: usize) {
    let pairs = old.chunks_exact(channels).zip(new.chunks_exact_mut(channels));
    for (at, (old, new)) in pairs.enumerate().take(HOLD_SAMPLES + CROSSFADE_SAMPLES) {
        let share = at.saturating_sub(HOLD_SAMPLES) as f32 / CROSSFADE_SAMPLES as f32;
        for (old, new) in old.iter().zip(new) {
            *new = old * (1.0 - share) + *new * share;
        }
    }
}
