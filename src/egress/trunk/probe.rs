//! Finds out whether a path carries more than its estimate: that does not grow beyond what is sent.
//!
//! Pure: takes the estimate, what is sent and `now`, answers what to believe.

use std::time::{Duration, Instant};

/// A trial that costs more than this share of packets has failed.
const LOST_MAX: f64 = 0.05;
/// In a trial so many times the estimate is believed: enough for the next rung of any ladder.
const BOLD: f64 = 2.0;
/// A trial lasts so long: a step up takes 5 seconds to be taken, and the rest to be felt.
const TRIAL: Duration = Duration::from_secs(8);
/// Nothing may have been wrong for so long before a trial; twice as long each time one fails.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(240);

/// Decides for one path.
#[derive(Debug)]
pub(super) struct Probe {
    /// Since when all is well, or the trial runs.
    since: Instant,
    trial: bool,
    rest: Duration,
    /// Share of packets that was lost before the trial.
    lost: f64,
}

impl Probe {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, trial: false, rest: REST, lost: 0.0 }
    }

    /// Bandwidth to believe in, bit/s, where the estimate is so much, so much is sent, and such a share
    /// of it lost.
    pub(super) fn believe(&mut self, estimate: f64, sent: f64, lost: f64, now: Instant) -> f64 {
        if estimate < sent || (self.trial && lost > self.lost + LOST_MAX) {
            // More than the path carries. What was there before the trial needs no other.
            if std::mem::take(&mut self.trial) {
                self.rest = (self.rest * 2).min(REST_MAX);
            }
            self.since = now;
            return estimate;
        }
        let lasted = now.saturating_duration_since(self.since);
        if self.trial && lasted >= TRIAL {
            // The estimate has grown with what is sent, as far as anything wanted to be sent.
            (self.trial, self.since, self.rest) = (false, now, REST);
        } else if !self.trial && lasted >= self.rest {
            (self.trial, self.since, self.lost) = (true, now, lost);
        }
        if self.trial { estimate * BOLD } else { estimate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that carries `limit`: its estimate is one and a half times what is sent, up to that.
    fn seconds_of_trial(limit: f64, seconds: u64) -> (u64, f64) {
        let start = Instant::now();
        let (mut probe, mut sent, mut trials) = (Probe::new(start), 10_000.0_f64, 0);
        for second in 0..seconds {
            let estimate = (sent * 1.5).min(limit);
            let believed = probe.believe(estimate, sent, 0.0, start + Duration::from_secs(second));
            trials += u64::from(believed > estimate);
            // The next rung costs a third more.
            sent = if believed > sent * 1.6 || estimate < sent { believed / 1.5 } else { sent };
            if estimate == limit && believed == estimate {
                sent = sent.min(limit * 0.9);
            }
        }
        (trials, sent)
    }

    #[test]
    fn a_wide_path_is_found_and_a_narrow_one_is_left_alone() {
        let (_, sent) = seconds_of_trial(2_000_000.0, 180);
        assert!(sent > 1_000_000.0, "{sent}");
        let (trials, sent) = seconds_of_trial(12_000.0, 600);
        assert!(sent <= 12_000.0, "{sent}");
        assert!(trials < 20, "{trials} s of 600");
    }

    #[test]
    fn a_trial_that_fails_ends_at_once_and_the_next_comes_later() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut probe = Probe::new(start);
        assert_eq!(probe.believe(20.0, 10.0, 0.0, at(4)), 20.0);
        assert_eq!(probe.believe(20.0, 10.0, 0.0, at(5)), 40.0);
        assert_eq!(probe.believe(20.0, 30.0, 0.0, at(6)), 20.0);
        assert_eq!(probe.believe(20.0, 10.0, 0.0, at(15)), 20.0);
        assert_eq!(probe.believe(20.0, 10.0, 0.0, at(16)), 40.0);
        assert_eq!(probe.believe(30.0, 20.0, 0.0, at(24)), 30.0, "it went well");
        assert_eq!(probe.believe(30.0, 20.0, 0.0, at(29)), 60.0);
    }

    #[test]
    fn loss_that_a_trial_brings_ends_it_and_loss_that_was_there_does_not() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut probe = Probe::new(start);
        assert_eq!(probe.believe(20.0, 10.0, 0.2, at(5)), 40.0);
        assert_eq!(probe.believe(20.0, 10.0, 0.22, at(6)), 40.0);
        assert_eq!(probe.believe(20.0, 15.0, 0.4, at(7)), 20.0);
        assert_eq!(probe.believe(20.0, 10.0, 0.2, at(16)), 20.0, "later than the first time");
    }
}
