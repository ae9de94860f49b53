//! Pauses between restarts of a node that failed.

use std::time::Duration;

/// The shortest pause, after the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// After a run of at least this length the next failure starts with the shortest pause again.
const GOOD_RUN: Duration = Duration::from_secs(30);

/// Doubling pauses between runs of one node, from 0.5 s to 30 s.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns the pause after a run of length `run`. `jitter` (0.0-1.0) shortens it by up to a
    /// quarter, so that nodes which failed together do not restart together.
    pub(super) fn pause(&mut self, run: Duration, jitter: f64) -> Duration {
        if run >= GOOD_RUN {
            self.failures = 0;
        }
        let doubled = FIRST.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        doubled.min(LONGEST).mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_a_good_run_resets() {
        let mut backoff = Backoff::default();
        let pauses: Vec<f64> =
            (0..8).map(|_| backoff.pause(Duration::ZERO, 0.0).as_secs_f64()).collect();
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff.pause(GOOD_RUN, 0.0), FIRST);
        assert_eq!(backoff.pause(Duration::ZERO, 1.0), Duration::from_millis(750));
    }
}
