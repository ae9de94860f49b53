//! How good a voice is at the other end: scores of what a trunk sends by the loss of its path, for
//! choices, and by the E-model (ITU-T G.107) with the delay, for a dashboard.
//!
//! Estimates: the scores are objective ones of English, and nobody has listened.

use std::time::Duration;

use super::choice::Choice;

/// Rating R with the default of every parameter (ITU-T G.107).
const BEST_RATING_FACTOR: f64 = 93.2;

/// Mean of PESQ-WB and DNSMOS P.808 of the original speech, which no codec has passed.
const ORIGINAL_SCORE_LEVEL: f64 = 4.23;

/// Robustness against loss (Bpl of G.107) of Opus with deep concealment, from the row of "Opus beside
/// AIC-A 2" at 64 kbit/s, which repeats nothing, and of AIC-A, from the rows at 10 % of packets of 60 ms:
/// of a lost one a third is concealed, the rest repeated (docs/measurements.md).
const OPUS_LOSS_ROBUSTNESS_FACTOR: f64 = 22.0;
const AIC_LOSS_ROBUSTNESS_FACTOR: f64 = 30.0;

/// The share of packets at whose loss scores were measured, besides none.
const MEASURED_LOSS_RATIO: f64 = 0.1;

/// Means of PESQ-WB and DNSMOS P.808 without loss and at [`MEASURED_LOSS_RATIO`] of packets at random,
/// with the redundancy that a trunk sends then: docs/measurements.md, "AIC-A 2 under loss". The original
/// has 4.23.
fn scores(choice: Choice) -> (f64, f64) {
    match choice {
        Choice::Aic { stages: 33.., .. } => (3.41, 2.97),
        Choice::Aic { stages: 18.., .. } => (3.02, 2.77),
        Choice::Aic { .. } => (2.86, 2.67),
        // Wideband scores do not hear what these two have above 8 kHz and in stereo; the 0.1 for it
        // without loss is no measurement. The first is not measured: a little better than the second,
        // and with loss not worth more.
        Choice::Opus { bitrate: 128_000.., .. } => (4.16, 3.71),
        Choice::Opus { bitrate: 64_000.., .. } => (4.15, 3.72),
        Choice::Opus { bitrate: 32_000.., .. } => (3.97, 3.59),
        Choice::Opus { bitrate: 20_000.., .. } => (3.90, 3.48),
        Choice::Opus { bitrate: 12_000.., .. } => (3.76, 2.91),
        Choice::Opus { .. } => (3.56, 2.87),
    }
}

/// The score of a voice that is sent with this choice over a path that loses this share of packets;
/// at more than [`MEASURED_LOSS_RATIO`] that of it.
pub fn score(choice: Choice, loss: f64) -> f64 {
    let (clean, lossy) = scores(choice);
    clean + (lossy - clean) * (loss / MEASURED_LOSS_RATIO).clamp(0.0, 1.0)
}

/// Impairment of a voice by a codec alone (Ie of G.107), by its score: the original has none.
fn impairment(choice: Choice) -> f64 {
    let (clean, _) = scores(choice);
    let best = opinion(BEST_RATING_FACTOR);
    let wanted = 1.0 + (clean - 1.0) * (best - 1.0) / (ORIGINAL_SCORE_LEVEL - 1.0);
    // The opinion rises with the rating from 6.5 on, so that halving finds it.
    let (mut low, mut high) = (6.5, BEST_RATING_FACTOR);
    for _ in 0..20 {
        let middle = (low + high) / 2.0;
        if opinion(middle) < wanted { low = middle } else { high = middle }
    }
    BEST_RATING_FACTOR - low
}

/// Mean opinion score of a rating (G.107 annex B).
fn opinion(rating: f64) -> f64 {
    1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6
}

/// Mean opinion score, 1.0-4.5, of a voice sent with this choice, of which the share `missing`
/// (0.0-1.0) is concealed, and which is heard `delay` later.
pub fn estimate(choice: Choice, missing: f64, delay: Duration) -> f64 {
    let codec = impairment(choice);
    let bears = match choice {
        Choice::Aic { .. } => AIC_LOSS_ROBUSTNESS_FACTOR,
        Choice::Opus { .. } => OPUS_LOSS_ROBUSTNESS_FACTOR,
    };
    let percent = missing.clamp(0.0, 1.0) * 100.0;
    let lost = codec + (95.0 - codec) * percent / (percent + bears);
    let ms = delay.as_secs_f64() * 1000.0;
    let late = 0.024 * ms + if ms > 177.3 { 0.11 * (ms - 177.3) } else { 0.0 };
    let r = (BEST_RATING_FACTOR - lost - late).clamp(0.0, 100.0);
    opinion(r).clamp(1.0, 4.5)
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
        assert!((4.0..4.5).contains(&scores[0]), "{scores:?}");
        assert_eq!(scores[5], 1.0);
    }

    #[test]
    fn scores_fall_with_loss_and_below_what_repeats_itself() {
        let opus = |bitrate| Choice::Opus { bitrate, frames: 1 };
        let aic = Choice::Aic { stages: 33, frames: 3, redundant: 2 };
        let falls = |choice| [0.0, 0.03, 0.1, 0.5].map(|loss| score(choice, loss));
        for choice in [opus(128_000), opus(32_000), opus(9_000), aic] {
            let scores = falls(choice);
            assert!(scores.is_sorted_by(|a, b| a >= b), "{choice:?}: {scores:?}");
        }
        assert!(score(opus(12_000), 0.0) > score(aic, 0.0));
        assert!(score(opus(12_000), 0.1) < score(aic, 0.1));
        assert!(score(opus(9_000), 0.1) < score(aic, 0.1));
    }
}
