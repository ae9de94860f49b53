//! Faster or slower speech at the same pitch: WSOLA (Verhelst and Roelands, 1993).

use super::Pcm;

/// Length of a window, in seconds: two periods of the lowest voice.
const WINDOW_S: f64 = 0.03;

/// How far the best place for a window is searched, in seconds to each side: half a period of the
/// lowest voice.
const SEARCH_S: f64 = 0.01;

/// Speech `speed` times as fast, 0.5-2, at the same pitch. Windows overlap where they continue each
/// other best, so that no period of the voice is cut.
pub fn stretch(pcm: &Pcm, speed: f32) -> Pcm {
    let speed = f64::from(speed.clamp(0.5, 2.0));
    let half = ((f64::from(pcm.rate_hz) * WINDOW_S / 2.0) as usize).max(1);
    let search = (f64::from(pcm.rate_hz) * SEARCH_S) as usize;
    let input = &pcm.samples;
    if (speed - 1.0).abs() < 0.005 || input.len() < 4 * half + 2 * search {
        return pcm.clone();
    }
    let length = (input.len() as f64 / speed).round() as usize;
    let rises: Vec<f32> = (0..half)
        .map(|n| (0.5 - 0.5 * (std::f64::consts::PI * n as f64 / half as f64).cos()) as f32)
        .collect();
    let mut out = Vec::with_capacity(length + half);
    // What follows the last window in the original; the next window should resemble it.
    let mut natural = 0;
    while out.len() < length {
        let ideal = (out.len() as f64 * speed) as usize;
        let at = if out.is_empty() { 0 } else { best(input, natural, ideal, half, search) };
        for (n, rise) in rises.iter().enumerate() {
            let sample = |at: usize| input.get(at + n).copied().unwrap_or(0.0);
            // The falling half of the previous window and the rising half of this one.
            out.push(sample(natural) * (1.0 - rise) + sample(at) * rise);
        }
        natural = at + half;
    }
    out.truncate(length);
    Pcm { rate_hz: pcm.rate_hz, samples: out }
}

/// The place around `ideal` from which `half` samples best resemble those from `natural`.
fn best(input: &[f32], natural: usize, ideal: usize, half: usize, search: usize) -> usize {
    let last = input.len().saturating_sub(half);
    let (from, to) = (ideal.saturating_sub(search).min(last), (ideal + search).min(last));
    let Some(wanted) = input.get(natural..natural + half) else { return from };
    let likeness = |at: usize| {
        let (mut product, mut energy) = (0.0_f32, 1e-9_f32);
        // Every second sample is enough to distinguish periods.
        for (a, b) in wanted.iter().zip(&input[at..at + half]).step_by(2) {
            product += a * b;
            energy += b * b;
        }
        product / energy.sqrt()
    };
    (from..=to).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upward zero crossings per second.
    fn frequency(pcm: &Pcm) -> f64 {
        let edge = pcm.samples.len() / 10;
        let middle = &pcm.samples[edge..pcm.samples.len() - edge];
        let up = middle.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        up as f64 / (middle.len() as f64 / f64::from(pcm.rate_hz))
    }

    fn tone(hz: f64, seconds: f64) -> Pcm {
        let rate_hz = 22_050;
        let sample = |n| (std::f64::consts::TAU * hz * f64::from(n) / f64::from(rate_hz)).sin();
        let samples = (0..(f64::from(rate_hz) * seconds) as u32).map(|n| sample(n) as f32 * 0.5);
        Pcm { rate_hz, samples: samples.collect() }
    }

    #[test]
    fn length_changes_and_pitch_and_level_stay() {
        for hz in [90.0, 200.0, 440.0] {
            for speed in [0.8, 1.1, 1.25, 1.6] {
                let before = tone(hz, 2.0);
                let after = stretch(&before, speed);
                let ratio = before.samples.len() as f64 / after.samples.len() as f64;
                assert!((ratio - f64::from(speed)).abs() < 0.001, "{ratio}");
                let heard = frequency(&after);
                assert!((heard - hz).abs() < 0.02 * hz, "{hz} Hz became {heard} at {speed}");
                let level = |p: &Pcm| {
                    (p.samples.iter().map(|s| s * s).sum::<f32>() / p.samples.len() as f32).sqrt()
                };
                assert!((level(&after) / level(&before) - 1.0).abs() < 0.05);
                assert!(after.samples.iter().all(|s| s.abs() <= 0.51));
            }
        }
    }

    #[test]
    fn nothing_to_do_and_too_short_are_left_alone() {
        let (long, short) = (tone(200.0, 1.0), tone(200.0, 0.05));
        assert_eq!(stretch(&long, 1.0), long);
        assert_eq!(stretch(&short, 1.25), short);
        let empty = Pcm { rate_hz: 8000, samples: Vec::new() };
        assert_eq!(stretch(&empty, 1.25), empty);
    }
}
