//! Resamples short pieces of audio.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side: 16 keep the audible part of a voice.
const SINC_CROSSINGS: f64 = 16.0;

/// Resamples mono audio from `from` to `to` samples per second, by windowed-sinc interpolation (J.
/// O. Smith, "Digital Audio Resampling"). For clips: every output sample costs some tens of
/// multiplications; continuous audio uses `audioresample`.
pub(super) fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to || from == 0 || to == 0 {
        return samples.to_vec();
    }
    let step = f64::from(from) / f64::from(to);
    // Towards a lower rate the filter also removes frequencies above its range.
    let cutoff = (1.0 / step).min(1.0);
    let reach = SINC_CROSSINGS / cutoff;
    let count = (samples.len() as f64 / step) as usize;
    (0..count).map(|n| interpolate(samples, n as f64 * step, cutoff, reach)).collect()
}

fn interpolate(samples: &[f32], at: f64, cutoff: f64, reach: f64) -> f32 {
    let first = (at - reach).ceil().max(0.0) as usize;
    let last = ((at + reach).floor() as usize).min(samples.len().saturating_sub(1));
    let weighted = (first..=last).filter_map(|n| {
        let distance = n as f64 - at;
        Some(f64::from(*samples.get(n)?) * weight(distance, cutoff, reach))
    });
    weighted.sum::<f64>() as f32
}

/// A Hann-windowed sinc.
fn weight(distance: f64, cutoff: f64, reach: f64) -> f64 {
    let window = 0.5 + 0.5 * (PI * distance / reach).cos();
    let x = PI * distance * cutoff;
    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
    cutoff * sinc * window
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the error of a resampled sine is more than `expect_db` dB below the sine.
    fn check(from: u32, to: u32, hz: f64, expect_db: f64) {
        let sine = |rate: u32| {
            let turn = 2.0 * PI * hz / f64::from(rate);
            (0..rate / 5).map(move |n| (turn * f64::from(n)).sin() as f32)
        };
        let made = resample(&sine(from).collect::<Vec<_>>(), from, to);
        let true_one: Vec<f32> = sine(to).collect();
        assert_eq!(made.len(), true_one.len());
        // At both ends samples are missing.
        let middle = 400..true_one.len() - 400;
        let error: f64 =
            middle.clone().map(|n| f64::from(made[n] - true_one[n]).powi(2)).sum::<f64>();
        let power: f64 = middle.map(|n| f64::from(true_one[n]).powi(2)).sum();
        let below = 10.0 * (power / error.max(1e-20)).log10();
        assert!(below > expect_db, "{from} to {to}, {hz} Hz: {below:.1} dB");
    }

    #[test]
    fn a_tone_stays_what_it_is() {
        check(22_050, 48_000, 440.0, 60.0);
        check(22_050, 48_000, 7_000.0, 60.0);
        check(16_000, 48_000, 3_000.0, 60.0);
        check(48_000, 16_000, 3_000.0, 60.0);
    }

    #[test]
    fn nothing_stays_nothing() {
        assert!(resample(&[], 22_050, 48_000).is_empty());
        assert_eq!(resample(&[0.5; 3], 48_000, 48_000), [0.5; 3]);
    }
}
