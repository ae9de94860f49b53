//! Audio through the networks, in pieces of any size.

use std::collections::VecDeque;
use std::time::Duration;

use super::enhancer::{ENHANCER_DELAY_FRAMES, Enhancer, Enhancers};
use super::frame::{FRAME_SAMPLES, Fader, Frame, INPUT_LEVEL_MAX};
use super::rnnoise::{RNNOISE_DELAY_FRAMES, Rnnoise};
use super::strength::Strength;

/// Weight of a new frame in the measured noise level: a time constant of half a second.
const NOISE_SMOOTHING_FACTOR: f32 = 0.02;

/// Below this speech probability a frame counts as noise, for the measured noise level only.
const SPEECH_PROBABILITY_MIN: f32 = 0.5;

/// Denoises interleaved audio of one or more channels, in pieces of any size.
///
/// Every sample keeps its place: original and RNNoise's output are held until the slowest network
/// has arrived at them, so mixing and switching cause no comb filter and no click. RNNoise always
/// runs: it tells the probability of speech, and takes over at once when the other network is late.
pub struct Denoiser {
    channels: Vec<Channel>,
    /// Interleaved samples of an incomplete frame.
    pending: Vec<f32>,
    /// Frames that are held before the oldest one comes out.
    delay_frames: usize,
    enhancers: Option<Enhancers>,
    enhancers_expected: bool,
    post_filter: bool,
    /// Late networks that were given up since.
    fallbacks_before: u64,
    /// Share of denoised audio.
    fader: Fader,
    speech_probability: f32,
    /// Mean square of the input without speech; `None` before the first such frame.
    noise_power: Option<f32>,
}

struct Channel {
    rnnoise: Rnnoise,
    held: VecDeque<Held>,
}

/// A frame that has come in and not gone out yet.
struct Held {
    original: Frame,
    /// By RNNoise, once its delay has passed.
    cleaned: Frame,
}

impl Denoiser {
    /// A denoiser for this number of interleaved channels, at least one.
    pub fn new(channels: usize, strength: Strength) -> Self {
        Self {
            channels: (0..channels.max(1)).map(|_| Channel::new()).collect(),
            pending: Vec::with_capacity(FRAME_SAMPLES * channels.max(1)),
            delay_frames: RNNOISE_DELAY_FRAMES,
            enhancers: None,
            enhancers_expected: false,
            post_filter: false,
            fallbacks_before: 0,
            fader: Fader::at(strength.share()),
            speech_probability: 0.0,
            noise_power: None,
        }
    }

    /// Changes the strength by a crossfade; at once before the first audio.
    pub fn set_strength(&mut self, strength: Strength) {
        self.fader.set_target(strength.share());
        if self.held() == 0 {
            self.fader.jump();
        }
    }

    /// Holds audio for as long as the second network needs, already before it is attached, so that
    /// the latency does not change then.
    pub fn expect_enhancers(&mut self) {
        self.enhancers_expected = true;
        self.delay_frames = ENHANCER_DELAY_FRAMES;
    }

    /// Adds the second network, one per channel. `limited`: it rests when it is late. Before the
    /// first audio it is heard at once, else by a crossfade after it has adapted.
    pub fn attach_enhancers(&mut self, networks: Vec<Box<dyn Enhancer>>, limited: bool) {
        self.expect_enhancers();
        let first = self.held() == 0;
        let mut enhancers = Enhancers::new(networks, limited, first);
        enhancers.set_post_filter(self.post_filter);
        self.enhancers = Some(enhancers);
    }

    /// Fades the second network out, gives it up, and holds audio for as long as RNNoise needs.
    pub fn release_enhancers(&mut self) {
        self.enhancers_expected = false;
        self.settle();
    }

    /// Whether the second network is attached.
    pub fn has_enhancers(&self) -> bool {
        self.enhancers.is_some()
    }

    /// Switches the post-filter of the second network.
    pub fn set_post_filter(&mut self, on: bool) {
        if self.post_filter != on {
            self.post_filter = on;
            self.enhancers.iter_mut().for_each(|enhancers| enhancers.set_post_filter(on));
        }
    }

    /// Number of interleaved channels.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Takes any number of interleaved samples and appends what is ready to `output`.
    pub fn push(&mut self, mut samples: &[f32], output: &mut Vec<f32>) {
        let full = FRAME_SAMPLES * self.channels.len();
        while !samples.is_empty() {
            let taken = samples.len().min(full - self.pending.len());
            self.pending.extend_from_slice(&samples[..taken]);
            samples = &samples[taken..];
            if self.pending.len() == full {
                self.process_frame(output);
            }
        }
    }

    /// Appends everything that is still inside to `output` and resets.
    pub fn drain(&mut self, output: &mut Vec<f32>) {
        let wanted = output.len() + self.held() * self.channels.len();
        let silence = [0.0; FRAME_SAMPLES];
        while output.len() < wanted {
            self.push(&silence, output);
        }
        output.truncate(wanted);
        self.reset();
    }

    /// Forgets the audio so far, as after a discontinuity.
    pub fn reset(&mut self) {
        self.pending.clear();
        self.fader.jump();
        self.speech_probability = 0.0;
        self.channels.iter_mut().for_each(|channel| *channel = Channel::new());
        self.settle();
    }

    /// Samples per channel that came in and have not come out yet.
    pub fn held(&self) -> usize {
        let frames = self.channels.first().map_or(0, |channel| channel.held.len());
        frames * FRAME_SAMPLES + self.pending.len() / self.channels.len()
    }

    /// Longest time that a sample is held: one frame until it is complete, and the delay of the
    /// slowest network.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(10) * (self.delay_frames as u32 + 1)
    }

    /// Probability that the last 10 ms hold speech, 0.0-1.0: the highest of all channels.
    pub fn speech_probability(&self) -> f32 {
        self.speech_probability
    }

    /// Level of the input without speech, in dB below full scale; `None` before any was measured.
    pub fn noise_dbfs(&self) -> Option<f32> {
        self.noise_power.map(|power| 10.0 * power.max(1e-12).log10())
    }

    /// The engine that is heard: `dfn3` or `rnnoise`.
    pub fn engine(&self) -> &'static str {
        let heard = self.enhancers.as_ref().is_some_and(|enhancers| enhancers.fader.is_main());
        if heard { "dfn3" } else { "rnnoise" }
    }

    /// How often RNNoise took over because the second network was late or failed.
    pub fn fallbacks(&self) -> u64 {
        let now = self.enhancers.as_ref().map_or(0, |enhancers| enhancers.budget.fallbacks());
        self.fallbacks_before + now
    }

    /// Processing time of the second network per time of audio, over its last second.
    pub fn real_time_factor(&self) -> Option<f32> {
        self.enhancers.as_ref().and_then(|enhancers| enhancers.budget.real_time_factor())
    }

    fn process_frame(&mut self, output: &mut Vec<f32>) {
        let count = self.channels.len();
        let mut probability = 0.0_f32;
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let mut frame = [0.0; FRAME_SAMPLES];
            let samples = self.pending.iter().skip(index).step_by(count);
            for (slot, sample) in frame.iter_mut().zip(samples) {
                *slot = if sample.is_finite() { *sample } else { 0.0 };
            }
            probability = probability.max(channel.take(frame));
        }
        self.pending.clear();
        self.speech_probability = probability.clamp(0.0, 1.0);
        self.measure_noise();
        let wanted = self.enhancers_expected && !self.fader.is_out();
        if let Some(enhancers) = &mut self.enhancers {
            let newest = self.channels.iter().filter_map(|channel| channel.held.back());
            enhancers.take(newest.map(|held| &held.original), wanted);
        }
        self.settle();
        while self.channels[0].held.len() > self.delay_frames {
            self.mix_into(output);
        }
    }

    /// Gives up a second network that has faded out, and its share of the delay.
    fn settle(&mut self) {
        let done = |enhancers: &Enhancers| {
            enhancers.is_broken() || !self.enhancers_expected && enhancers.fader.is_out()
        };
        if let Some(given_up) = self.enhancers.take_if(|enhancers| done(enhancers)) {
            self.fallbacks_before += given_up.budget.fallbacks() + u64::from(given_up.is_broken());
        }
        if !self.enhancers_expected && self.enhancers.is_none() {
            self.delay_frames = RNNOISE_DELAY_FRAMES;
        }
    }

    /// Appends the oldest frame, at which all networks have arrived.
    fn mix_into(&mut self, output: &mut Vec<f32>) {
        let oldest: Vec<Held> =
            self.channels.iter_mut().filter_map(|channel| channel.held.pop_front()).collect();
        output.reserve(FRAME_SAMPLES * oldest.len());
        for at in 0..FRAME_SAMPLES {
            let share = self.fader.step();
            let enhanced = self
                .enhancers
                .as_mut()
                .map(|enhancers| (enhancers.fader.step(), &enhancers.cleaned));
            for (index, held) in oldest.iter().enumerate() {
                let (original, mut cleaned) = (held.original[at], held.cleaned[at]);
                if let Some((share, enhanced)) = &enhanced {
                    cleaned += share * (enhanced[index][at] - cleaned);
                }
                output.push(original + share * (cleaned - original));
            }
        }
    }

    fn measure_noise(&mut self) {
        if self.speech_probability >= SPEECH_PROBABILITY_MIN {
            return;
        }
        let newest = self.channels.iter().filter_map(|channel| channel.held.back());
        let samples = newest.flat_map(|held| &held.original);
        let sum: f32 = samples.map(|x| x.clamp(-INPUT_LEVEL_MAX, INPUT_LEVEL_MAX).powi(2)).sum();
        let power = sum / (FRAME_SAMPLES * self.channels.len()) as f32;
        let before = self.noise_power.unwrap_or(power);
        self.noise_power = Some(before + NOISE_SMOOTHING_FACTOR * (power - before));
    }
}

impl Channel {
    fn new() -> Self {
        Self { rnnoise: Rnnoise::new(), held: VecDeque::new() }
    }

    /// Takes a frame; RNNoise completes the one before. Returns the probability of speech.
    fn take(&mut self, frame: Frame) -> f32 {
        let mut cleaned = [0.0; FRAME_SAMPLES];
        let probability = self.rnnoise.clean(&frame, &mut cleaned);
        if let Some(previous) = self.held.back_mut() {
            previous.cleaned = if probability.is_some() { cleaned } else { previous.original };
        }
        self.held.push_back(Held { original: frame, cleaned: frame });
        probability.unwrap_or(0.0)
    }
}
