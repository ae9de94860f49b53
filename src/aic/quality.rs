//! Likely quality of a voice at the other end, by the E-model (ITU-T G.107), from codec, loss and
//! delay.
//!
//! An estimate for a dashboard, not a measurement: impairments of codecs are derived from listening
//! scores of similar ones, and those of AIC-A depend on the weights in use.

use std::time::Duration;

use super::controller::Choice;

/// Rating R with the default of every parameter (ITU-T G.107).
const BEST_RATING_FACTOR: f64 = 93.2;

/// Impairment of a voice by a codec alone (Ie of G.107), and its robustness against loss (Bpl of
/// G.113; 10 for simple, 20 for good concealment).
fn impairment(choice: Choice) -> (f64, f64) {
    match choice {
        Choice::Opus { bitrate: 24_000.., .. } => (2.0, 15.0),
        Choice::Opus { bitrate: 16_000.., .. } => (6.0, 15.0),
        Choice::Opus { bitrate: 12_000.., .. } => (12.0, 15.0),
        Choice::Opus { .. } => (35.0, 15.0),
        // By the scores of the weights in `models/aic-audio` beside Opus in docs/measurements.md.
        Choice::Aic { stages: 46.., .. } => (18.0, 20.0),
        Choice::Aic { stages: 33.., .. } => (20.0, 20.0),
        Choice::Aic { stages: 18.., .. } => (27.0, 20.0),
        Choice::Aic { .. } => (32.0, 20.0),
    }
}

/// Mean opinion score, 1.0-4.5, of a voice sent with this choice, of which the share `missing`
/// (0.0-1.0) is concealed, and which is heard `delay` later.
pub fn estimate(choice: Choice, missing: f64, delay: Duration) -> f64 {
    let (codec, bears) = impairment(choice);
    let percent = missing.clamp(0.0, 1.0) * 100.0;
    let lost = codec + (95.0 - codec) * percent / (percent + bears);
    let ms = delay.as_secs_f64() * 1000.0;
    let late = 0.024 * ms + if ms > 177.3 { 0.11 * (ms - 177.3) } else { 0.0 };
    let r = (BEST_RATING_FACTOR - lost - late).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_loss_less_delay_and_more_bits_sound_better() {
        let aic = |stages| Choice::Aic { stages, frames: 1, redundant: 0 };
        let soon = Duration::from_millis(100);
        let scores = [
            estimate(Choice::Opus { bitrate: 32_000, frames: 1 }, 0.0, soon),
            estimate(aic(33), 0.0, soon),
            estimate(aic(18), 0.0, soon),
            estimate(aic(18), 0.05, soon),
            estimate(aic(18), 0.05, Duration::from_millis(300)),
            estimate(aic(18), 0.9, Duration::from_secs(5)),
        ];
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
        assert!((4.2..4.5).contains(&scores[0]), "{scores:?}");
        assert_eq!(scores[5], 1.0);
    }
}
