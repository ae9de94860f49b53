//! Finds out how much a path carries: its estimate follows delay, does not grow beyond what is sent,
//! and by no more than eight percent a second.
//!
//! Losses are a full path only where they go away when less is sent; a path that loses packets whatever
//! is sent is not made better by sending less. So when more is lost than this path loses of itself, less
//! is sent for some seconds, and what that changes decides.
//!
//! Pure: takes the estimate, what is sent, what became of it and `now`, answers what to believe.

use std::time::{Duration, Instant};

use super::arrivals::Arrived;

/// An estimate that falls by more than this share, while packets wait for so long on their way, is a
/// path that is full. Without a queue it is the jitter of a path or of a busy machine.
const FALL: f64 = 0.03;
const QUEUE: Duration = Duration::from_millis(80);
/// For so long after that nothing but the estimate is believed, and this share of what came through.
const FULL: Duration = Duration::from_secs(2);
const DRAIN: f64 = 0.85;

/// Losses that nobody minds: redundancy carries a voice through more.
const LOST: f64 = 0.12;
/// So many standard deviations above what a path loses of itself are no chance, and a little more is no
/// harm.
const DEVIATIONS: f64 = 3.0;
const SLACK: f64 = 0.02;
/// Over about so many seconds is averaged what a path loses of itself.
const AVERAGE_S: f64 = 15.0;
/// Share of what came through that is sent while losses are judged, for so long: until what was lost
/// before is out of the window in which it is counted.
const LESS: f64 = 0.9;
const JUDGED: Duration = Duration::from_secs(5);
/// So much less of what was lost, and so many standard deviations less, is no chance: it was the path
/// that was full.
const BETTER: f64 = 0.4;
const SURE: f64 = 2.0;
/// A path that carries anything loses no more of itself.
const OWN_MAX: f64 = 0.4;

/// What goes through shows that there is room for so many times as much: an estimate that is just
/// enough would never do for what is sent now.
const ROOM: f64 = 1.15;
/// In a trial so many times what is known is believed: enough for the next rung of any ladder.
const BOLD: f64 = 2.0;
/// A trial lasts so long: a step up takes 5 seconds to be taken, and the rest to be felt.
const TRIAL: Duration = Duration::from_secs(8);
/// It goes on when so many times as much is sent at its end.
const GROWN: f64 = 1.1;
/// Nothing may have been wrong for so long before a trial; twice as long each time one fails.
const REST: Duration = Duration::from_secs(3);
const REST_MAX: Duration = Duration::from_secs(60);

/// What is measured of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Estimate of the bandwidth for payload by delay, bit/s.
    pub(super) payload: f64,
    /// How many times its payload goes over the wire.
    pub(super) overhead: f64,
    /// What goes over the wire, bit/s.
    pub(super) sent: f64,
    /// What becomes of it.
    pub(super) arrived: Arrived,
}

/// Decides for one path.
#[derive(Debug)]
pub(super) struct Probe {
    /// Since when all is well, or the trial runs.
    since: Instant,
    trial: bool,
    /// What was sent when it began, bit/s.
    tried: f64,
    rest: Duration,
    /// When the path was last seen to be full, and what then is left of it to use, bit/s: the estimate
    /// falls for as long as the queue is there.
    full: Option<Instant>,
    drain: f64,
    /// The last estimate.
    payload: f64,
    /// Share of packets that the path loses of itself.
    own: f64,
    looked: Instant,
    doubt: Option<Doubt>,
    /// What the path was seen to carry when it was full, bit/s: the estimate grows beyond that while
    /// nothing is sent, and does not see a path that drops what is too much without a queue.
    ceiling: f64,
}

/// More is lost than before: less is sent to find out why.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    lost: f64,
    /// What was sent before, bit/s.
    sent: f64,
    /// Whether packets wait in a queue, so that the estimate knows.
    queued: bool,
}

impl Doubt {
    /// What to believe meanwhile, bit/s.
    fn less(self) -> f64 {
        self.sent * (1.0 - self.lost) * LESS
    }
}

impl Probe {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            trial: false,
            tried: 0.0,
            rest: REST,
            full: None,
            drain: 0.0,
            payload: 0.0,
            own: 0.0,
            looked: now,
            doubt: None,
            ceiling: f64::INFINITY,
        }
    }

    /// Bandwidth to believe in, bit/s on the wire.
    pub(super) fn believe(&mut self, now: &Measure, at: Instant) -> f64 {
        let fell = now.payload < self.payload * (1.0 - FALL);
        self.payload = now.payload;
        let estimate = now.payload * now.overhead;
        let queued = now.arrived.queue > QUEUE;
        // What came lacks what the path loses of itself.
        let came = now.arrived.rate / (1.0 - self.own.min(OWN_MAX));
        if fell && queued {
            (self.full, self.drain, self.doubt) = (Some(at), came * DRAIN, None);
            self.ceiling = came.max(estimate);
            self.fail(at);
            return estimate.max(self.drain);
        }
        if let Some(less) = self.doubt(now, at) {
            return less.min(estimate);
        }
        if self.is_full(at) {
            return estimate.max(self.drain).min(self.ceiling);
        }
        let lasted = at.saturating_duration_since(self.since);
        if self.trial && lasted >= TRIAL {
            // What was found is used, and there may be more; or there is nothing to send.
            self.trial = now.sent > self.tried * GROWN;
            (self.since, self.rest, self.tried) = (at, REST, now.sent);
        } else if !self.trial && lasted >= self.rest {
            self.begin_trial(now.sent, at);
        }
        let through = if queued { 0.0 } else { now.sent.max(came) * ROOM };
        self.ceiling = self.ceiling.max(through);
        let known = estimate.min(self.ceiling).max(through);
        if self.trial { known * BOLD } else { known }
    }

    /// What to believe while it is in doubt why packets are lost.
    fn doubt(&mut self, now: &Measure, at: Instant) -> Option<f64> {
        let Arrived { lost, packets, queue, .. } = now.arrived;
        let seconds = at.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = at;
        if let Some(doubt) = &mut self.doubt {
            doubt.queued |= queue > QUEUE;
            if lost > doubt.lost + SLACK {
                // What happens is only coming into the window.
                *doubt = Doubt { since: at, lost, ..*doubt };
            }
            if at.saturating_duration_since(doubt.since) < JUDGED {
                return Some(doubt.less());
            }
            let doubt = self.doubt.take()?;
            if doubt.lost - lost > (doubt.lost * BETTER).max(SURE * deviation(doubt.lost, packets))
            {
                (self.full, self.since) = (Some(at), at);
                if !doubt.queued {
                    (self.drain, self.ceiling) = (doubt.less(), doubt.less());
                }
            } else if lost < OWN_MAX {
                // Nothing was gained: what was sent before is tried at once.
                self.own = lost;
                self.begin_trial(now.sent, at);
            }
            return None;
        }
        if lost > self.own + self.chance(packets).max(LOST - self.own) {
            let queued = queue > QUEUE || self.is_full(at);
            let doubt = Doubt { since: at, lost, sent: now.sent, queued };
            self.doubt = Some(doubt);
            self.fail(at);
            return Some(doubt.less());
        }
        self.own += (lost - self.own) * (seconds / AVERAGE_S).min(1.0);
        None
    }

    /// By how much the share of so many packets that is lost may differ from what the path loses.
    fn chance(&self, packets: usize) -> f64 {
        DEVIATIONS * deviation(self.own.max(0.01), packets) + SLACK
    }

    fn is_full(&self, at: Instant) -> bool {
        self.full.is_some_and(|then| at.saturating_duration_since(then) < FULL)
    }

    fn begin_trial(&mut self, sent: f64, at: Instant) {
        (self.trial, self.since, self.tried) = (true, at, sent);
    }

    fn fail(&mut self, at: Instant) {
        if std::mem::take(&mut self.trial) {
            self.rest = (self.rest * 2).min(REST_MAX);
        }
        self.since = at;
    }
}

/// The standard deviation of the share of so many packets that is lost, where this share is usual.
fn deviation(share: f64, packets: usize) -> f64 {
    (share * (1.0 - share) / packets.max(1) as f64).sqrt()
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
