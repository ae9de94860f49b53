//! 48 kHz to 16 kHz and back, each with an exactly known delay.
//!
//! A linear-phase low-pass (Kaiser window, -80 dB) of 97 taps at 48 kHz: flat to 6.8 kHz, zero from
//! 9.3 kHz, with a delay of 48 samples (1 ms) in each direction.

use std::sync::LazyLock;

/// Length of the filter: more taps are steeper and delay longer.
const FILTER_TAPS: usize = 97;
/// 48 kHz / 16 kHz.
const RESAMPLING_FACTOR: usize = 3;
/// Frequency of half amplitude, relative to 48 kHz.
const CUTOFF_RATIO: f64 = 7_900.0 / 48_000.0;
/// Parameter β of the window for 80 dB: 0.1102 (80 - 8.7), by Kaiser's formula.
const KAISER_SHAPE_FACTOR: f64 = 7.86;

/// Delay of each direction, in samples at 48 kHz.
pub const FILTER_DELAY_SAMPLES: usize = (FILTER_TAPS - 1) / 2;

/// The filter, with a gain of 1.
static FILTER: LazyLock<[f32; FILTER_TAPS]> = LazyLock::new(|| {
    let middle = FILTER_DELAY_SAMPLES as f64;
    let tap = |i: usize| {
        let t = i as f64 - middle;
        let sinc = if t == 0.0 {
            2.0 * CUTOFF_RATIO
        } else {
            (std::f64::consts::TAU * CUTOFF_RATIO * t).sin() / (std::f64::consts::PI * t)
        };
        let window = bessel(KAISER_SHAPE_FACTOR * (1.0 - (t / middle).powi(2)).max(0.0).sqrt())
            / bessel(KAISER_SHAPE_FACTOR);
        sinc * window
    };
    let taps: [f64; FILTER_TAPS] = std::array::from_fn(tap);
    let sum: f64 = taps.iter().sum();
    taps.map(|t| (t / sum) as f32)
});

/// Modified Bessel function of the first kind, order zero.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

/// 48 kHz -> 16 kHz, one channel.
#[derive(Clone, Debug)]
pub struct Down {
    past: Vec<f32>,
}

impl Default for Down {
    fn default() -> Self {
        Self { past: vec![0.0; FILTER_TAPS - 1] }
    }
}

impl Down {
    /// Appends a third as many samples to `out`; the length of `samples` is a multiple of 3.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.past.extend_from_slice(samples);
        let filter: &[f32] = &*FILTER;
        let windows = self
            .past
            .windows(FILTER_TAPS)
            .step_by(RESAMPLING_FACTOR)
            .take(samples.len() / RESAMPLING_FACTOR);
        out.extend(windows.map(|w| w.iter().zip(filter).map(|(x, h)| x * h).sum::<f32>()));
        let used = self.past.len() - (FILTER_TAPS - 1);
        self.past.drain(..used);
    }
}

/// 16 kHz -> 48 kHz, one channel.
#[derive(Clone, Debug)]
pub struct Up {
    past: Vec<f32>,
}

/// Samples at 16 kHz that one phase of the filter covers.
const PHASE_SAMPLES: usize = FILTER_TAPS.div_ceil(RESAMPLING_FACTOR);

impl Default for Up {
    fn default() -> Self {
        Self { past: vec![0.0; PHASE_SAMPLES - 1] }
    }
}

impl Up {
    /// Appends three times as many samples to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.past.extend_from_slice(samples);
        let filter: &[f32] = &*FILTER;
        for window in self.past.windows(PHASE_SAMPLES) {
            for phase in 0..RESAMPLING_FACTOR {
                let newest_first = window.iter().rev();
                let taps = filter[phase..].iter().step_by(RESAMPLING_FACTOR);
                let sum: f32 = newest_first.zip(taps).map(|(x, h)| x * h).sum();
                out.push(sum * RESAMPLING_FACTOR as f32);
            }
        }
        let used = self.past.len() - (PHASE_SAMPLES - 1);
        self.past.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, count: usize) -> Vec<f32> {
        (0..count).map(|i| (std::f32::consts::TAU * hertz * i as f32 / 48_000.0).sin()).collect()
    }

    /// Down and up again, in pieces.
    fn round(audio: &[f32], piece: usize) -> Vec<f32> {
        let (mut down, mut up) = (Down::default(), Up::default());
        let mut out = Vec::new();
        for piece in audio.chunks(piece) {
            let mut less = Vec::new();
            down.push(piece, &mut less);
            up.push(&less, &mut out);
        }
        out
    }

    #[test]
    fn speech_band_comes_back_in_time_and_the_rest_is_gone() {
        let audio = tone(1_000.0, 9_600);
        let back = round(&audio, 960);
        assert_eq!(back.len(), audio.len());
        assert_eq!(back, round(&audio, 3), "whatever the pieces");
        let off = back[400..]
            .iter()
            .zip(&audio[400 - 2 * FILTER_DELAY_SAMPLES..])
            .map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 0.002);
        let loudest = |hertz| {
            round(&tone(hertz, 9_600), 960)[400..].iter().fold(0.0_f32, |m, x| m.max(x.abs()))
        };
        assert!(loudest(6_700.0) > 0.95, "{}", loudest(6_700.0));
        assert!(loudest(9_500.0) < 0.002, "{}", loudest(9_500.0));
    }
}
