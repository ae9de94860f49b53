//! How large packets are on average: range coded, each is the larger the less likely its codes are.

use super::packet::RATE_STAGES;

/// Bytes of a packet with one frame of speech at each of [`RATE_STAGES`], and what each further frame adds,
/// which those before it help to predict. Means over 15 speakers, as written (docs/measurements.md).
const MEAN_BYTES: [(f64, f64); RATE_STAGES.len()] =
    [(7.3, 5.4), (9.1, 7.2), (16.1, 14.0), (22.1, 20.1)];

/// Bytes that each redundant frame adds.
const REDUNDANT_MEAN_BYTES: f64 = 3.0;

/// Mean bytes of a packet with these numbers of stages, frames and redundant frames.
pub fn mean_size(stages: usize, frames: usize, redundant: usize) -> f64 {
    let rate = RATE_STAGES.iter().rposition(|rate| *rate <= stages).unwrap_or(0);
    let (first, later) = MEAN_BYTES[rate];
    first + frames.saturating_sub(1) as f64 * later + redundant as f64 * REDUNDANT_MEAN_BYTES
}
