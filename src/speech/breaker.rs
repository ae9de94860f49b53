//! When a failed engine is asked again: a plain type that takes `now`.

use std::time::{Duration, Instant};

use crate::media::Backoff;

/// Pauses after failures: 1-120 s; only a success resets them.
const RETRY_PAUSES: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(120), Duration::MAX);

/// A probe without an answer after this long counts as abandoned; another may start.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens at the first failure, so that a dead server costs its timeout once. Lets one probe through
/// after each pause and closes at the first success. Pauses double from 1 s to 120 s.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    pauses: Backoff,
    closed_until: Option<Instant>,
    probing_since: Option<Instant>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { pauses: RETRY_PAUSES, closed_until: None, probing_since: None }
    }
}

impl Breaker {
    /// Whether a request may go through now. While open, admits one request as the probe.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        match self.closed_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                let lost = |since: Instant| now.saturating_duration_since(since) >= PROBE_TIMEOUT;
                let free = self.probing_since.is_none_or(lost);
                if free {
                    self.probing_since = Some(now);
                }
                free
            }
        }
    }

    /// The engine answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The probe ended without a verdict on the engine; the next request is a probe again.
    pub(crate) fn undecided(&mut self) {
        self.probing_since = None;
    }

    /// The engine failed; `asks_for` is the pause that it requested.
    pub(crate) fn failed(&mut self, now: Instant, asks_for: Option<Duration>) {
        // Requests that were under way when the breaker opened do not count again.
        let counted = self.closed_until.is_none_or(|until| now >= until);
        let pause = if counted { self.pauses.pause(Duration::ZERO) } else { self.pauses.last() };
        let until = now + pause.max(asks_for.unwrap_or_default());
        self.closed_until = Some(self.closed_until.map_or(until, |before| before.max(until)));
        self.probing_since = None;
    }

    /// How long until the engine is asked again; `None` while it is healthy.
    pub(crate) fn rests(&self, now: Instant) -> Option<Duration> {
        self.closed_until.map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_failure_opens_and_each_pause_lets_one_probe_through() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        assert!(breaker.admit(start) && breaker.admit(start), "well: everybody");
        breaker.failed(start, None);
        assert!(!breaker.admit(start + S / 2));
        assert_eq!(breaker.rests(start + S / 2), Some(S / 2));
        assert!(breaker.admit(start + S) && !breaker.admit(start + S), "one probe");
        breaker.failed(start + S, None);
        assert!(!breaker.admit(start + 2 * S) && breaker.admit(start + 3 * S), "two seconds");
        breaker.succeeded();
        assert!(breaker.admit(start + 3 * S) && breaker.rests(start).is_none());
    }

    #[test]
    fn failures_under_way_count_once_and_pauses_end_at_two_minutes() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            breaker.failed(now, None);
        }
        assert_eq!(breaker.rests(now), Some(S));
        for _ in 0..12 {
            now += breaker.rests(now).expect("open");
            breaker.failed(now, None);
        }
        assert_eq!(breaker.rests(now), Some(120 * S));
    }

    #[test]
    fn a_server_may_ask_for_longer_and_a_lost_probe_is_replaced() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start, Some(30 * S));
        assert!(!breaker.admit(start + 29 * S) && breaker.admit(start + 30 * S));
        assert!(!breaker.admit(start + 31 * S) && breaker.admit(start + 90 * S));
        breaker.undecided();
        assert!(breaker.admit(start + 91 * S));
    }
}
