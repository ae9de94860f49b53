//! Noise suppression by RNNoise: 48 kHz, frames of 10 ms, weights inside the crate `nnnoiseless`.

use std::time::Duration;

use nnnoiseless::DenoiseState;

/// Samples per second and channel. The network knows no other rate.
pub const RATE_HZ: u32 = 48_000;

/// Samples per channel that the network takes at a time: 10 ms.
pub const FRAME_SAMPLES: usize = DenoiseState::FRAME_SIZE;

/// Longest time that a sample is held: one frame until it is complete, and one because neighbouring
/// frames overlap.
pub const DENOISE_LATENCY: Duration = Duration::from_millis(20);

/// Largest change per sample of the share of denoised audio, so that switching from off to on is a
/// crossfade of 20 ms.
const SLEW_RATIO_PER_SAMPLE: f32 = 1.0 / (2.0 * FRAME_SAMPLES as f32);

/// Samples are limited to this amplitude for the network, 12 dB over full scale, so that extreme
/// ones cannot make its recurrent state infinite.
const INPUT_LEVEL_MAX: f32 = 4.0;

/// The network was trained on 16-bit audio.
const FULL_SCALE_LEVEL: f32 = 32_768.0;

/// Weight of a new frame in the measured noise level: a time constant of half a second.
const NOISE_SMOOTHING_FACTOR: f32 = 0.02;

/// Below this speech probability a frame counts as noise, for the measured noise level only.
const SPEECH_PROBABILITY_MIN: f32 = 0.5;

/// How strongly noise is suppressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// Off passes the audio through unchanged, at the same latency.
    pub enabled: bool,
    /// Share of denoised audio in the mix, 0.0-1.0.
    pub mix: f32,
    /// Noise is lowered by at most this much, in dB.
    pub max_attenuation_db: f32,
}

impl Default for Strength {
    /// 12 dB at most: DNSMOS rates it as high as no limit, and it is the only measured setting that
    /// also raises SI-SDR, because a voice that the network misjudges is attenuated, not lost
    /// (`docs/measurements.md`).
    fn default() -> Self {
        Self { enabled: true, mix: 1.0, max_attenuation_db: 12.0 }
    }
}

impl Strength {
    /// The share of denoised audio in the output; the rest is the original.
    ///
    /// What the network removes completely remains at `1 - share` of its amplitude, which turns a
    /// limit in dB into a share.
    fn share(self) -> f32 {
        let residue = 10_f32.powf(-self.max_attenuation_db.max(0.0) / 20.0);
        let share = self.mix.clamp(0.0, 1.0) * (1.0 - residue);
        if self.enabled && share.is_finite() { share } else { 0.0 }
    }
}

/// Denoises interleaved audio of one or more channels, in pieces of any size.
///
/// Every sample keeps its place: the original is delayed by as much as the network delays its
/// output, so mixing and switching cause no comb filter and no click.
pub struct Denoiser {
    channels: Vec<Channel>,
    /// Interleaved samples of an incomplete frame.
    pending: Vec<f32>,
    /// Whether a frame is inside the network, waiting for its overlap with the next.
    primed: bool,
    /// Share of denoised audio now, and its target.
    share: f32,
    target: f32,
    speech_probability: f32,
    /// Mean square of the input without speech; `None` before the first such frame.
    noise_power: Option<f32>,
}

struct Channel {
    network: Box<DenoiseState<'static>>,
    /// The original of the frame that is inside the network.
    previous: [f32; FRAME_SAMPLES],
    current: [f32; FRAME_SAMPLES],
    cleaned: [f32; FRAME_SAMPLES],
}

impl Denoiser {
    /// A denoiser for this number of interleaved channels, at least one.
    pub fn new(channels: usize, strength: Strength) -> Self {
        let share = strength.share();
        Self {
            channels: (0..channels.max(1)).map(|_| Channel::new()).collect(),
            pending: Vec::with_capacity(FRAME_SAMPLES * channels.max(1)),
            primed: false,
            share,
            target: share,
            speech_probability: 0.0,
            noise_power: None,
        }
    }

    /// Changes the strength by a crossfade; at once before the first audio.
    pub fn set_strength(&mut self, strength: Strength) {
        self.target = strength.share();
        if self.held() == 0 {
            self.share = self.target;
        }
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
        self.primed = false;
        self.share = self.target;
        self.speech_probability = 0.0;
        self.channels.iter_mut().for_each(|channel| *channel = Channel::new());
    }

    /// Samples per channel that came in and have not come out yet.
    pub fn held(&self) -> usize {
        let inside = if self.primed { FRAME_SAMPLES } else { 0 };
        inside + self.pending.len() / self.channels.len()
    }

    /// Probability that the last 10 ms hold speech, 0.0-1.0: the highest of all channels.
    pub fn speech_probability(&self) -> f32 {
        self.speech_probability
    }

    /// Level of the input without speech, in dB below full scale; `None` before any was measured.
    pub fn noise_dbfs(&self) -> Option<f32> {
        self.noise_power.map(|power| 10.0 * power.max(1e-12).log10())
    }

    fn process_frame(&mut self, output: &mut Vec<f32>) {
        let count = self.channels.len();
        let mut probability = 0.0_f32;
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let samples = self.pending.iter().skip(index).step_by(count);
            for (slot, sample) in channel.current.iter_mut().zip(samples) {
                *slot = if sample.is_finite() { *sample } else { 0.0 };
            }
            probability = probability.max(channel.clean());
        }
        self.speech_probability = probability.clamp(0.0, 1.0);
        self.measure_noise();
        if self.primed {
            self.mix_into(output);
        }
        for channel in &mut self.channels {
            channel.previous = channel.current;
        }
        self.pending.clear();
        self.primed = true;
    }

    /// Appends the frame before the current one, which the network has just completed.
    fn mix_into(&mut self, output: &mut Vec<f32>) {
        output.reserve(FRAME_SAMPLES * self.channels.len());
        for at in 0..FRAME_SAMPLES {
            self.share +=
                (self.target - self.share).clamp(-SLEW_RATIO_PER_SAMPLE, SLEW_RATIO_PER_SAMPLE);
            for channel in &self.channels {
                let original = channel.previous[at];
                let cleaned = channel.cleaned[at] / FULL_SCALE_LEVEL;
                output.push(original + self.share * (cleaned - original));
            }
        }
    }

    fn measure_noise(&mut self) {
        if self.speech_probability >= SPEECH_PROBABILITY_MIN {
            return;
        }
        let samples = self.channels.iter().flat_map(|channel| &channel.current);
        let sum: f32 = samples.map(|x| x.clamp(-INPUT_LEVEL_MAX, INPUT_LEVEL_MAX).powi(2)).sum();
        let power = sum / (FRAME_SAMPLES * self.channels.len()) as f32;
        let before = self.noise_power.unwrap_or(power);
        self.noise_power = Some(before + NOISE_SMOOTHING_FACTOR * (power - before));
    }
}

impl Channel {
    fn new() -> Self {
        Self {
            network: DenoiseState::new(),
            previous: [0.0; FRAME_SAMPLES],
            current: [0.0; FRAME_SAMPLES],
            cleaned: [0.0; FRAME_SAMPLES],
        }
    }

    /// Runs the network on the current frame; `cleaned` becomes the previous one without noise.
    /// Returns the probability of speech.
    fn clean(&mut self) -> f32 {
        let input =
            self.current.map(|x| x.clamp(-INPUT_LEVEL_MAX, INPUT_LEVEL_MAX) * FULL_SCALE_LEVEL);
        let probability = self.network.process_frame(&mut self.cleaned, &input);
        if probability.is_finite() && self.cleaned.iter().all(|x| x.is_finite()) {
            return probability;
        }
        // A recurrent state that is not finite never recovers.
        self.network = DenoiseState::new();
        self.cleaned =
            self.previous.map(|x| x.clamp(-INPUT_LEVEL_MAX, INPUT_LEVEL_MAX) * FULL_SCALE_LEVEL);
        0.0
    }
}

#[cfg(test)]
mod tests;
