//! Pauses between attempts that fail.

use std::time::Duration;

/// The share of a pause that jitter takes at most.
const JITTER_RATIO_MAX: f64 = 0.25;

/// Pauses that double with each failure in a row. Pure: callers measure the time and wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    reset_after: Duration,
    /// The pause after the last failure; zero without one.
    last: Duration,
}

impl Backoff {
    /// Pauses from `first` to `max`. A run of at least `reset_after` without a failure starts with
    /// `first` again; [`Duration::MAX`] if only [`Self::reset`] does that.
    pub const fn new(first: Duration, max: Duration, reset_after: Duration) -> Self {
        Self { first, max, reset_after, last: Duration::ZERO }
    }

    /// The pause after a failure that ended a run of length `run`.
    pub fn pause(&mut self, run: Duration) -> Duration {
        if run >= self.reset_after {
            self.reset();
        }
        self.last = match self.last.is_zero() {
            true => self.first,
            false => self.last.saturating_mul(2).min(self.max),
        };
        self.last
    }

    /// The same, shortened by up to a quarter by `jitter` (0.0-1.0), so that what failed together
    /// does not start together.
    pub fn pause_with_jitter(&mut self, run: Duration, jitter: f64) -> Duration {
        self.pause(run).mul_f64(1.0 - JITTER_RATIO_MAX * jitter.clamp(0.0, 1.0))
    }

    /// The longest pause, after a failure that is not expected to end soon.
    pub fn longest(&mut self) -> Duration {
        self.last = self.max;
        self.last
    }

    /// The pause after the last failure; zero without one.
    pub fn last(&self) -> Duration {
        self.last
    }

    /// A success: the next failure starts with the first pause again.
    pub fn reset(&mut self) {
        self.last = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const GOOD_RUN: Duration = Duration::from_secs(30);

    fn backoff() -> Backoff {
        Backoff::new(FIRST, Duration::from_secs(30), GOOD_RUN)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_a_good_run_resets() {
        let mut backoff = backoff();
        let pauses: Vec<f64> =
            (0..8).map(|_| backoff.pause(Duration::ZERO).as_secs_f64()).collect();
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff.pause(GOOD_RUN), FIRST);
        assert_eq!(
            backoff.pause_with_jitter(Duration::ZERO, 1.0),
            Duration::from_millis(750),
            "jitter shortens one pause"
        );
        assert_eq!(backoff.pause(Duration::ZERO), 4 * FIRST, "and not the next one");
    }

    #[test]
    fn a_success_resets_and_a_hopeless_failure_waits_longest() {
        let mut backoff = backoff();
        assert_eq!(backoff.last(), Duration::ZERO);
        assert_eq!(backoff.longest(), Duration::from_secs(30));
        assert_eq!(backoff.pause(Duration::ZERO), Duration::from_secs(30));
        backoff.reset();
        assert_eq!(backoff.last(), Duration::ZERO);
        assert_eq!((backoff.pause(Duration::ZERO), backoff.last()), (FIRST, FIRST));
        let mut endless = Backoff::new(FIRST, Duration::MAX, Duration::MAX);
        let pauses: Vec<Duration> = (0..200).map(|_| endless.pause(GOOD_RUN)).collect();
        assert_eq!(pauses.last(), Some(&Duration::MAX));
    }
}
