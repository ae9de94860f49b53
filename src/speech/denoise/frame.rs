//! Frames of audio, and fades between two sounds.

/// Samples per second and channel. The networks know no other rate.
pub const RATE_HZ: u32 = 48_000;

/// Samples per channel that the networks take at a time: 10 ms.
pub const FRAME_SAMPLES: usize = 480;

/// One frame of one channel.
pub type Frame = [f32; FRAME_SAMPLES];

/// Samples are limited to this amplitude for the networks, 12 dB over full scale, so that extreme
/// ones cannot make their recurrent state infinite.
pub(super) const INPUT_LEVEL_MAX: f32 = 4.0;

/// Largest change of a share per sample, so that switching from off to on is a crossfade of 20 ms.
const SLEW_RATIO_PER_SAMPLE: f32 = 1.0 / (2.0 * FRAME_SAMPLES as f32);

/// The frame as a network may take it.
pub(super) fn limited(frame: &Frame) -> Frame {
    frame.map(|x| x.clamp(-INPUT_LEVEL_MAX, INPUT_LEVEL_MAX))
}

/// The share of one of two sounds in a mix, 0.0-1.0, which moves to its target without a click.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fader {
    now: f32,
    target: f32,
}

impl Fader {
    /// A fader that rests at this share.
    pub(super) fn at(share: f32) -> Self {
        Self { now: share, target: share }
    }

    /// Moves to this share from the next sample on.
    pub(super) fn set_target(&mut self, share: f32) {
        self.target = share;
    }

    /// Arrives at its target at once.
    pub(super) fn jump(&mut self) {
        self.now = self.target;
    }

    /// The share of the next sample.
    pub(super) fn step(&mut self) -> f32 {
        self.now += (self.target - self.now).clamp(-SLEW_RATIO_PER_SAMPLE, SLEW_RATIO_PER_SAMPLE);
        self.now
    }

    /// Whether the sound is out of the mix and stays out.
    pub(super) fn is_out(&self) -> bool {
        self.now == 0.0 && self.target == 0.0
    }

    /// Whether the sound is the larger part of the mix.
    pub(super) fn is_main(&self) -> bool {
        self.now > 0.5
    }
}
