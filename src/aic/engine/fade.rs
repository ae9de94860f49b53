//! Long losses: the audio fades to comfort noise as loud as the background before them.

use crate::aic::FRAME_SAMPLES;

/// Lost frames that the network bridges alone before the audio fades: 120 ms. Without news of the
/// speaker, longer bridges invent sounds; shorter ones cut words.
const BRIDGED_FRAMES: u32 = 6;

/// Lost frames over which the audio fades to comfort noise: 60 ms. A shorter fade is heard as a
/// cut.
const FADE_FRAMES: f32 = 3.0;

/// The background estimate falls at once and rises by this factor per frame (3 dB per second).
const FLOOR_RISE_FACTOR: f32 = 1.007;

/// Loudest comfort noise, root mean square (-46 dBFS): a loud room is not played on during a loss.
const COMFORT_NOISE_LEVEL_MAX: f32 = 0.005;

/// Estimates the background, and fades to it after long losses.
#[derive(Debug)]
pub(super) struct Fade {
    /// Frames lost in a row.
    lost: u32,
    gain: f32,
    /// Root mean square of the quietest recent audio.
    floor: f32,
    noise: Noise,
}

impl Default for Fade {
    fn default() -> Self {
        Self {
            lost: 0,
            gain: 1.0,
            floor: COMFORT_NOISE_LEVEL_MAX,
            noise: Noise { state: 1, last: 0.0 },
        }
    }
}

impl Fade {
    pub(super) fn settle(&mut self, came: bool, frame: &mut [f32; FRAME_SAMPLES]) {
        self.lost = if came { 0 } else { self.lost.saturating_add(1) };
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
