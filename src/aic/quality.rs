//! How a voice is likely to sound at the other end, by the E-model (ITU-T G.107): what the codec
//! does to it, what is missing, and how late it comes.
//!
//! An estimate for a dashboard, never a measurement: impairments of codecs are set from listening
//! scores of their kind, and those of AIC-A depend on the weights that are in use.

use std::time::Duration;

use super::controller::Choice;

/// Rating of a perfect connection.
const BEST: f64 = 93.2;

/// What a codec does to a voice by itself (Ie of G.107), and how well it bears loss (Bpl of
/// G.113, where 10 stands for simple and 20 for good concealment).
fn impairment(choice: Choice) -> (f64, f64) {
    match choice {
        Choice::Opus { bitrate: 24_000.., .. } => (2.0, 15.0),
        Choice::Opus { bitrate: 16_000.., .. } => (6.0, 15.0),
        Choice::Opus { bitrate: 12_000.., .. } => (12.0, 15.0),
        Choice::Opus { .. } => (35.0, 15.0),
        // Of the weights in `models/aic-audio`, by their scores beside Opus in docs/measurements.md:
        // 6 kbit/s is about Opus at 6. Better weights deserve better figures here.
        Choice::Aic { stages: 10.., .. } => (35.0, 20.0),
        Choice::Aic { stages: 5.., .. } => (48.0, 20.0),
        Choice::Aic { .. } => (58.0, 20.0),
    }
}

/// Mean opinion score, 1.0-4.5, of a voice that is sent like this, of which a share of 0.0-1.0 is
/// missing and made up, and which is heard so much later.
pub fn estimate(choice: Choice, missing: f64, delay: Duration) -> f64 {
    let (codec, bears) = impairment(choice);
    let percent = missing.clamp(0.0, 1.0) * 100.0;
    let lost = codec + (95.0 - codec) * percent / (percent + bears);
    let ms = delay.as_secs_f64() * 1000.0;
    let late = 0.024 * ms + if ms > 177.3 { 0.11 * (ms - 177.3) } else { 0.0 };
    let r = (BEST - lost - late).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_loss_less_delay_and_more_bits_sound_better() {
        let aic = |stages| Choice::Aic { stages, frames: 1, redundant: 0, redundant_stages: 0 };
        let soon = Duration::from_millis(100);
        let scores = [
            estimate(Choice::Opus { bitrate: 32_000, frames: 1 }, 0.0, soon),
            estimate(aic(12), 0.0, soon),
            estimate(aic(6), 0.0, soon),
            estimate(aic(6), 0.05, soon),
            estimate(aic(6), 0.05, Duration::from_millis(300)),
            estimate(aic(6), 0.9, Duration::from_secs(5)),
        ];
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
        assert!((4.2..4.5).contains(&scores[0]), "{scores:?}");
        assert_eq!(scores[5], 1.0);
    }
}
