//! Finds out whether a path carries more than its estimate: that does not grow beyond what is sent, and
//! by no more than eight percent a second.
//!
//! Pure: takes the estimate, what is sent, what is lost and `now`, answers what to believe.

use std::time::{Duration, Instant};

/// An estimate that falls by more than this share, or losses that grow by more, are a path that is full.
const FALL: f64 = 0.03;
const LOST_MORE: f64 = 0.05;
/// For so long after that nothing but the estimate is believed.
const FULL: Duration = Duration::from_secs(2);
/// Share of packets that may be lost of what goes through.
const CLEAN: f64 = 0.02;
/// What goes through shows that there is room for so many times as much: an estimate that is just
/// enough would never do for what is sent now.
const ROOM: f64 = 1.15;
/// In a trial so many times what is known is believed: enough for the next rung of any ladder.
const BOLD: f64 = 2.0;
/// A trial lasts so long: a step up takes 5 seconds to be taken, and the rest to be felt.
const TRIAL: Duration = Duration::from_secs(8);
/// Nothing may have been wrong for so long before a trial; twice as long each time one fails.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(240);

/// What is measured of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Estimate of the bandwidth for payload, bit/s.
    pub(super) payload: f64,
    /// How many times its payload goes over the wire.
    pub(super) overhead: f64,
    /// What goes over the wire, bit/s.
    pub(super) sent: f64,
    /// Share of packets that is lost, 0.0-1.0.
    pub(super) lost: f64,
}

/// Decides for one path.
#[derive(Debug)]
pub(super) struct Probe {
    /// Since when all is well, or the trial runs.
    since: Instant,
    trial: bool,
    rest: Duration,
    /// When the path was last seen to be full.
    full: Option<Instant>,
    /// The last estimate, and the losses that are nothing new.
    payload: f64,
    lost: f64,
}

impl Probe {
    pub(super) fn new(now: Instant) -> Self {
        let (payload, lost) = (0.0, 0.0);
        Self { since: now, trial: false, rest: REST, full: None, payload, lost }
    }

    /// Bandwidth to believe in, bit/s on the wire.
    pub(super) fn believe(&mut self, now: &Measure, at: Instant) -> f64 {
        let fell = now.payload < self.payload * (1.0 - FALL);
        self.payload = now.payload;
        let estimate = now.payload * now.overhead;
        if fell || now.lost > self.lost + LOST_MORE {
            if std::mem::take(&mut self.trial) {
                self.rest = (self.rest * 2).min(REST_MAX);
            }
            (self.since, self.full, self.lost) = (at, Some(at), self.lost.max(now.lost));
            return estimate;
        }
        self.lost = self.lost.min(now.lost);
        let since = |then: Instant| at.saturating_duration_since(then);
        if self.full.is_some_and(|then| since(then) < FULL) {
            return estimate;
        }
        let lasted = since(self.since);
        if self.trial && lasted >= TRIAL {
            (self.trial, self.since, self.rest) = (false, at, REST);
        } else if !self.trial && lasted >= self.rest {
            (self.trial, self.since) = (true, at);
        }
        let through = if now.lost <= CLEAN { now.sent * ROOM } else { 0.0 };
        let known = estimate.max(through);
        if self.trial { known * BOLD } else { known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(payload: f64, sent: f64, lost: f64) -> Measure {
        Measure { payload, overhead: 1.0, sent, lost }
    }

    /// A path that carries `limit`, and a ladder whose rungs are a third apart: seconds in which more
    /// was sent than that, and what is sent in the end.
    fn climb(limit: f64, seconds: u64) -> (u64, f64) {
        let start = Instant::now();
        let (mut probe, mut sent, mut estimate, mut over) =
            (Probe::new(start), 9_000.0_f64, 9e3, 0);
        for second in 0..seconds {
            let lost = (1.0 - limit / sent).max(0.0);
            over += u64::from(lost > 0.0);
            estimate =
                if lost > 0.0 { limit * 0.85 } else { f64::min(estimate * 1.08, sent * 1.5) };
            let found = measure(estimate, sent, lost);
            let believed = probe.believe(&found, start + Duration::from_secs(second));
            while sent > believed {
                sent /= 1.33;
            }
            if sent * 1.33 * 1.25 < believed {
                sent *= 1.33;
            }
        }
        (over, sent)
    }

    #[test]
    fn a_wide_path_is_found_and_a_narrow_one_is_left_alone() {
        let (over, sent) = climb(2_000_000.0, 120);
        assert!(sent > 1_000_000.0, "{sent}");
        assert!(over < 10, "{over} s of 120");
        let (over, sent) = climb(16_000.0, 600);
        assert!((9_000.0..=16_000.0).contains(&sent), "{sent}");
        assert!(over < 30, "{over} s of 600");
    }

    #[test]
    fn a_trial_that_fails_ends_at_once_and_the_next_comes_later() {
        let start = Instant::now();
        let mut probe = Probe::new(start);
        let mut check = |seconds: u64, payload, lost, expect: f64| {
            let at = start + Duration::from_secs(seconds);
            let found = probe.believe(&measure(payload, 10.0, lost), at);
            assert_eq!(found, expect, "{seconds} s");
        };
        check(4, 20.0, 0.2, 20.0);
        check(9, 20.0, 0.2, 40.0);
        check(10, 20.0, 0.22, 40.0);
        check(11, 20.0, 0.4, 20.0);
        check(20, 20.0, 0.2, 20.0);
        check(22, 20.0, 0.2, 40.0);
        check(23, 12.0, 0.2, 12.0);
    }

    #[test]
    fn what_goes_through_is_there_however_low_the_estimate() {
        let start = Instant::now();
        let mut probe = Probe::new(start);
        assert_eq!(probe.believe(&measure(10.0, 100.0, 0.0), start), 100.0 * ROOM);
        assert_eq!(probe.believe(&measure(9.0, 100.0, 0.0), start), 9.0, "it fell");
        let later = start + FULL;
        assert_eq!(probe.believe(&measure(9.0, 100.0, 0.0), later), 100.0 * ROOM);
    }
}
