//! Finds the capacity of a path. The estimate follows delay; it does not grow beyond what is sent,
//! nor by more than eight percent a second.
//!
//! Losses mean a full path only if they decrease when less is sent; on a path that loses packets at
//! any rate, sending less does not help. So when the loss exceeds the path's own loss, less is sent
//! for some seconds, and the effect on the loss decides.
//!
//! Pure: takes the estimate, the sending rate, the arrivals and `now`, returns the bandwidth to
//! use.

use std::time::{Duration, Instant};

use super::arrivals::Arrived;

/// The path is full if the estimate falls by more than this share while packets queue for longer
/// than [`CONGESTED_QUEUE`].
const CONGESTED_FALL_RATIO: f64 = 0.03;
/// Without such a queue, a fall is only jitter of the path or of a busy machine.
const CONGESTED_QUEUE: Duration = Duration::from_millis(80);
/// For this long after congestion only the estimate counts, or [`DRAIN_RATIO`] of the received rate
/// if that is higher.
const CONGESTED_HOLD: Duration = Duration::from_secs(2);
/// Share of the received rate that lets a queue drain.
const DRAIN_RATIO: f64 = 0.85;

/// Tolerated loss: redundancy protects voice beyond it. Less reacts to paths that lose packets at
/// any rate, more leaves a full path full.
const LOSS_TOLERATED_RATIO: f64 = 0.12;
/// A loss above the path's own loss by more than this many standard deviations plus
/// [`LOSS_SLACK_RATIO`] is significant.
const SIGNIFICANT_DEVIATIONS: f64 = 3.0;
/// Losses come in bursts, so that the deviation of independent losses is too small.
const LOSS_SLACK_RATIO: f64 = 0.02;
/// Averaging time of the path's own loss, in seconds: longer than a loss trial, so that losses of
/// a full path hardly change it.
const AVERAGE_S: f64 = 15.0;
/// While losses are judged, this share of the received rate is sent: enough less to end the losses
/// of a full path.
const JUDGING_RATE_RATIO: f64 = 0.9;
/// Judging lasts until earlier losses have left the measuring window.
const JUDGING_TIME: Duration = Duration::from_secs(5);
/// The path was full if the loss falls by more than this share and by more than
/// [`IMPROVED_DEVIATIONS`].
const IMPROVED_LOSS_RATIO: f64 = 0.4;
/// Standard deviations by which a smaller loss is significant.
const IMPROVED_DEVIATIONS: f64 = 2.0;
/// Maximum own loss of a usable path; more is never taken for a property of the path.
const INHERENT_LOSS_RATIO_MAX: f64 = 0.4;

/// The bandwidth is at least this many times what gets through: an estimate of exactly the sending
/// rate would not suffice for it, given the headroom of the ladder.
const GOODPUT_ROOM_FACTOR: f64 = 1.15;
/// Factor on the known bandwidth during a trial: enough for the next step of any ladder.
const TRIAL_FACTOR: f64 = 2.0;
/// Duration of a trial: 5 seconds until a step up, the rest to measure its effect.
const TRIAL_TIME: Duration = Duration::from_secs(8);
/// A trial continues if the sending rate has grown by this factor at its end.
const TRIAL_GROWTH_FACTOR: f64 = 1.1;
/// Time without problems before a trial. Each failed trial doubles it.
const TRIAL_PAUSE: Duration = Duration::from_secs(3);
/// Longest pause between trials.
const TRIAL_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Measurements of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Delay-based estimate of the payload bandwidth, bit/s.
    pub(super) payload: f64,
    /// Ratio of bytes on the wire to payload bytes.
    pub(super) overhead: f64,
    /// Sending rate, bit/s on the wire.
    pub(super) sent: f64,
    /// Arrivals of the sent packets.
    pub(super) arrived: Arrived,
}

/// The decision state of one path.
#[derive(Debug)]
pub(super) struct LossAwareEstimator {
    /// Start of the time without problems, or of the trial.
    since: Instant,
    trial: bool,
    /// Sending rate at the start of the trial, bit/s.
    tried: f64,
    rest: Duration,
    /// When the path was last seen full, and the rate to use then, bit/s: the estimate keeps
    /// falling while the queue exists.
    full: Option<Instant>,
    drain: f64,
    /// The previous estimate.
    payload: f64,
    /// The path's own share of lost packets.
    own: f64,
    looked: Instant,
    loss_trial: Option<LossTrial>,
    /// Capacity seen when the path was full, bit/s. The estimate grows beyond it while little is
    /// sent, and does not detect a path that drops excess packets without a queue.
    ceiling: f64,
}

/// The loss has increased: less is sent to find the cause.
#[derive(Clone, Copy, Debug)]
struct LossTrial {
    since: Instant,
    lost: f64,
    /// Sending rate before, bit/s.
    sent: f64,
    /// Whether packets queued meanwhile, so that the estimate detects the limit itself.
    queued: bool,
}

impl LossTrial {
    /// Bandwidth to use meanwhile, bit/s.
    fn less(self) -> f64 {
        self.sent * (1.0 - self.lost) * JUDGING_RATE_RATIO
    }
}

impl LossAwareEstimator {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            trial: false,
            tried: 0.0,
            rest: TRIAL_PAUSE,
            full: None,
            drain: 0.0,
            payload: 0.0,
            own: 0.0,
            looked: now,
            loss_trial: None,
            ceiling: f64::INFINITY,
        }
    }

    /// The bandwidth to use, bit/s on the wire.
    pub(super) fn estimate(&mut self, now: &Measure, at: Instant) -> f64 {
        let fell = now.payload < self.payload * (1.0 - CONGESTED_FALL_RATIO);
        self.payload = now.payload;
        let estimate = now.payload * now.overhead;
        let queued = now.arrived.queue > CONGESTED_QUEUE;
        // The received rate, corrected for the path's own loss.
        let came = now.arrived.rate / (1.0 - self.own.min(INHERENT_LOSS_RATIO_MAX));
        if fell && queued {
            (self.full, self.drain, self.loss_trial) = (Some(at), came * DRAIN_RATIO, None);
            self.ceiling = came.max(estimate);
            self.fail(at);
            return estimate.max(self.drain);
        }
        if let Some(less) = self.loss_trial(now, at) {
            return less.min(estimate);
        }
        if self.is_full(at) {
            return estimate.max(self.drain).min(self.ceiling);
        }
        let lasted = at.saturating_duration_since(self.since);
        if self.trial && lasted >= TRIAL_TIME {
            // If the found bandwidth is used, there may be more; otherwise there is nothing to
            // send.
            self.trial = now.sent > self.tried * TRIAL_GROWTH_FACTOR;
            (self.since, self.rest, self.tried) = (at, TRIAL_PAUSE, now.sent);
        } else if !self.trial && lasted >= self.rest {
            self.begin_trial(now.sent, at);
        }
        let through = if queued { 0.0 } else { now.sent.max(came) * GOODPUT_ROOM_FACTOR };
        self.ceiling = self.ceiling.max(through);
        let known = estimate.min(self.ceiling).max(through);
        if self.trial { known * TRIAL_FACTOR } else { known }
    }

    /// The bandwidth to use while the cause of losses is unknown. `None` if there is no loss trial.
    fn loss_trial(&mut self, now: &Measure, at: Instant) -> Option<f64> {
        let Arrived { lost, packets, queue, .. } = now.arrived;
        let seconds = at.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = at;
        if let Some(loss_trial) = &mut self.loss_trial {
            loss_trial.queued |= queue > CONGESTED_QUEUE;
            if lost > loss_trial.lost + LOSS_SLACK_RATIO {
                // The increase is still entering the measuring window.
                *loss_trial = LossTrial { since: at, lost, ..*loss_trial };
            }
            if at.saturating_duration_since(loss_trial.since) < JUDGING_TIME {
                return Some(loss_trial.less());
            }
            let loss_trial = self.loss_trial.take()?;
            if loss_trial.lost - lost
                > (loss_trial.lost * IMPROVED_LOSS_RATIO)
                    .max(IMPROVED_DEVIATIONS * deviation(loss_trial.lost, packets))
            {
                (self.full, self.since) = (Some(at), at);
                if !loss_trial.queued {
                    (self.drain, self.ceiling) = (loss_trial.less(), loss_trial.less());
                }
            } else if lost < INHERENT_LOSS_RATIO_MAX {
                // Sending less did not help: the previous rate is tried at once.
                self.own = lost;
                self.begin_trial(now.sent, at);
            }
            return None;
        }
        if lost > self.own + self.chance(packets).max(LOSS_TOLERATED_RATIO - self.own) {
            let queued = queue > CONGESTED_QUEUE || self.is_full(at);
            let loss_trial = LossTrial { since: at, lost, sent: now.sent, queued };
            self.loss_trial = Some(loss_trial);
            self.fail(at);
            return Some(loss_trial.less());
        }
        self.own += (lost - self.own) * (seconds / AVERAGE_S).min(1.0);
        None
    }

    /// How far the measured loss of this many packets may deviate from the path's own loss by
    /// chance.
    fn chance(&self, packets: usize) -> f64 {
        SIGNIFICANT_DEVIATIONS * deviation(self.own.max(0.01), packets) + LOSS_SLACK_RATIO
    }

    fn is_full(&self, at: Instant) -> bool {
        self.full.is_some_and(|then| at.saturating_duration_since(then) < CONGESTED_HOLD)
    }

    fn begin_trial(&mut self, sent: f64, at: Instant) {
        (self.trial, self.since, self.tried) = (true, at, sent);
    }

    fn fail(&mut self, at: Instant) {
        if std::mem::take(&mut self.trial) {
            self.rest = (self.rest * 2).min(TRIAL_PAUSE_MAX);
        }
        self.since = at;
    }
}

/// Standard deviation of the loss share of this many packets with the expected loss `share`.
fn deviation(share: f64, packets: usize) -> f64 {
    (share * (1.0 - share) / packets.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests;
