//! Lost frames: the last latent is repeated, then decays to the mean of speech, and the sound fades to
//! comfort noise as loud as the background before.

use crate::{Codes, DecoderState, FRAME_SAMPLES, Latent, Model};

/// Lost frames that repeat the last latent before it decays: 40 ms, as long as a sound lasts. More
/// repeats are heard as a buzz.
const REPEATED_FRAMES: u32 = 2;

/// What each later lost frame leaves of the latent's distance to the mean of speech: a tenth after
/// 100 ms, when the fade begins.
const DECAY_FACTOR: f32 = 0.6;

/// Lost frames that the network bridges alone before the sound fades: 120 ms. Without news of the
/// speaker, longer bridges invent sounds; shorter ones cut words.
const BRIDGED_FRAMES: u32 = 6;

/// Lost frames over which the sound fades to comfort noise: 60 ms. A shorter fade is heard as a cut.
const FADE_FRAMES: f32 = 3.0;

/// The background estimate falls at once and rises by this factor per frame (3 dB per second).
const FLOOR_RISE_FACTOR: f32 = 1.007;

/// Loudest comfort noise, root mean square (-46 dBFS): a loud room is not played on during a loss.
const COMFORT_NOISE_LEVEL_MAX: f32 = 0.005;

/// Decodes one stream whose frames may be lost.
#[derive(Debug)]
pub struct Listener {
    state: DecoderState,
    latent: Option<Latent>,
    /// Frames lost in a row.
    lost: u32,
    gain: f32,
    /// Root mean square of the quietest recent sound.
    floor: f32,
    noise: Noise,
}

impl Listener {
    /// A stream before its first frame.
    pub fn new(model: &Model) -> Self {
        Self {
            state: model.decoder_state(),
            latent: None,
            lost: 0,
            gain: 1.0,
            floor: COMFORT_NOISE_LEVEL_MAX,
            noise: Noise { state: 1, last: 0.0 },
        }
    }

    /// The next 20 ms; `None`: the frame is lost. `model` is that of [`Self::new`].
    pub fn frame(&mut self, model: &Model, codes: Option<&Codes>) -> [f32; FRAME_SAMPLES] {
        self.lost = if codes.is_some() { 0 } else { self.lost.saturating_add(1) };
        let latent = match codes {
            Some(codes) => model.latent(codes),
            None => self.guess(model.mean()),
        };
        self.latent = Some(latent);
        let samples = model.synthesise(&[latent], &mut [&mut self.state]);
        let mut frame = [0.0; FRAME_SAMPLES];
        for (to, from) in frame.iter_mut().zip(samples) {
            *to = from;
        }
        self.settle(codes.is_some(), &mut frame);
        frame
    }

    /// The latent of a lost frame.
    fn guess(&self, mean: &Latent) -> Latent {
        let mut latent = self.latent.unwrap_or(*mean);
        if self.lost > REPEATED_FRAMES {
            for (value, mean) in latent.iter_mut().zip(mean) {
                *value = mean + (*value - mean) * DECAY_FACTOR;
            }
        }
        latent
    }

    /// Estimates the background, and fades to it after a long loss.
    fn settle(&mut self, came: bool, frame: &mut [f32; FRAME_SAMPLES]) {
        if came {
            let power = frame.iter().map(|x| x * x).sum::<f32>() / FRAME_SAMPLES as f32;
            self.floor = power
                .sqrt()
                .min(self.floor * FLOOR_RISE_FACTOR)
                .clamp(1e-6, COMFORT_NOISE_LEVEL_MAX);
        }
        let beyond = self.lost.saturating_sub(BRIDGED_FRAMES) as f32;
        let target = (1.0 - beyond / FADE_FRAMES).max(0.0);
        let step = (target - self.gain) / FRAME_SAMPLES as f32;
        for sample in frame {
            self.gain += step;
            let noise = self.noise.next() * self.floor;
            *sample = *sample * self.gain + noise * (1.0 - self.gain).max(0.0);
        }
        self.gain = target;
    }
}

/// Noise of unit power that falls towards high frequencies; reproducible.
#[derive(Debug)]
struct Noise {
    state: u32,
    last: f32,
}

impl Noise {
    fn next(&mut self) -> f32 {
        // Xorshift: never becomes zero.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let white = self.state as f32 / u32::MAX as f32 * 2.0 - 1.0;
        self.last = 0.7 * self.last + white;
        // Uniform noise has a power of 1/3, and the filter multiplies it by 1 / (1 - 0.7^2).
        self.last * (3.0_f32 * (1.0 - 0.49)).sqrt()
    }
}
