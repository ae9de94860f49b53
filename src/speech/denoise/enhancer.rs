//! The second network: better and more expensive than RNNoise, and not always there.

use std::time::Instant;

use super::budget::Budget;
use super::frame::{FRAME_SAMPLES, Fader, Frame, limited};

/// Its output is this many frames later than its input: one because neighbouring frames overlap,
/// two because it looks ahead.
pub const ENHANCER_DELAY_FRAMES: usize = 3;

/// Frames that a network hears before it is heard, when it joins audio that already runs: its output
/// is of other audio until its delay has passed, and its memory adapts in the rest of 0.2 s.
const WARM_UP_FRAMES: usize = 20;

/// A network for one channel of 48 kHz audio.
pub trait Enhancer: Send {
    /// Takes a frame of finite samples; `cleaned` becomes the frame of [`ENHANCER_DELAY_FRAMES`]
    /// before, without noise.
    fn clean(&mut self, frame: &Frame, cleaned: &mut Frame);

    /// Switches the post-filter, which lowers residual noise between the harmonics of a voice.
    fn set_post_filter(&mut self, on: bool);
}

/// The networks of all channels. They rest while they are not in the mix and after they were late.
pub(super) struct Enhancers {
    networks: Vec<Box<dyn Enhancer>>,
    /// The last output of each channel.
    pub(super) cleaned: Vec<Frame>,
    /// Their share in the cleaned sound; the rest is RNNoise.
    pub(super) fader: Fader,
    pub(super) budget: Budget,
    warm_frames: usize,
    broken: bool,
}

impl Enhancers {
    /// Networks that hear the first sample of the audio, if `first`, or join it.
    pub(super) fn new(networks: Vec<Box<dyn Enhancer>>, limited: bool, first: bool) -> Self {
        Self {
            cleaned: vec![[0.0; FRAME_SAMPLES]; networks.len()],
            networks,
            fader: Fader::at(if first { 1.0 } else { 0.0 }),
            budget: Budget::new(limited),
            warm_frames: if first { WARM_UP_FRAMES } else { 0 },
            broken: false,
        }
    }

    pub(super) fn set_post_filter(&mut self, on: bool) {
        self.networks.iter_mut().for_each(|network| network.set_post_filter(on));
    }

    /// Takes the newest frame of each channel. `wanted`: whether the output can be heard.
    pub(super) fn take<'a>(&mut self, frames: impl Iterator<Item = &'a Frame>, wanted: bool) {
        let welcome = wanted && !self.broken && !self.budget.is_resting();
        self.budget.rest();
        if !welcome {
            self.fader.set_target(0.0);
            if self.fader.is_out() {
                self.warm_frames = 0;
                return;
            }
        }
        let start = Instant::now();
        for ((network, cleaned), frame) in
            self.networks.iter_mut().zip(&mut self.cleaned).zip(frames)
        {
            network.clean(&limited(frame), cleaned);
            if !cleaned.iter().all(|x| x.is_finite()) {
                // A recurrent state that is not finite never recovers.
                self.broken = true;
                cleaned.fill(0.0);
            }
        }
        if self.broken {
            self.fader = Fader::at(0.0);
        } else if welcome {
            self.budget.spend(start.elapsed());
            self.warm_frames = (self.warm_frames + 1).min(WARM_UP_FRAMES);
            let heard = self.warm_frames == WARM_UP_FRAMES && !self.budget.is_resting();
            self.fader.set_target(if heard { 1.0 } else { 0.0 });
        }
    }

    /// Whether their output has become useless for good.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}
