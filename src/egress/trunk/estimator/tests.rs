use super::*;

const PACKETS: usize = 100;

fn measure(payload: f64, sent: f64, lost: f64, queue_ms: u64) -> Measure {
    let queue = Duration::from_millis(queue_ms);
    let arrived = Arrived { packets: PACKETS, lost, queue, rate: 0.0 };
    Measure { payload, overhead: 1.0, sent, arrived }
}

/// A path: its capacity, its own loss, and whether it queues or drops excess packets.
#[derive(Clone, Copy)]
struct SimulatedPath {
    limit: f64,
    loses: f64,
    queue: bool,
}

/// Simulates a ladder whose steps are a third apart, checked four times a second.
struct Walk {
    start: Instant,
    looks: u64,
    estimator: LossAwareEstimator,
    sent: f64,
    estimate: f64,
    /// Losses are counted over the last seconds.
    lost: Vec<f64>,
    enough: u64,
}

impl Walk {
    fn new(sent: f64) -> Self {
        let start = Instant::now();
        let (estimator, lost) = (LossAwareEstimator::new(start), Vec::new());
        Self { start, looks: 0, estimator, sent, estimate: sent, lost, enough: 0 }
    }

    /// Returns the seconds in which much more was sent than the path carries.
    fn go(&mut self, path: SimulatedPath, seconds: u64) -> f64 {
        let mut over = 0;
        for _ in 0..seconds * 4 {
            self.looks += 1;
            let too_much = self.sent > path.limit;
            over += u64::from(self.sent * (1.0 - LOSS_TOLERATED_RATIO) > path.limit);
            let dropped = if path.queue { 0.0 } else { (1.0 - path.limit / self.sent).max(0.0) };
            // Random variation of the loss.
            let chance = 1.0 + 0.4 * f64::sin(self.looks as f64 * 0.7);
            self.lost.push((dropped + path.loses * chance).min(1.0));
            let window = &self.lost[self.lost.len().saturating_sub(12)..];
            let lost = window.iter().sum::<f64>() / window.len() as f64;
            let queue = if path.queue && too_much { 150 } else { 0 };
            self.estimate = match queue {
                0 => f64::min(self.estimate * 1.02, self.sent * 1.5).max(self.estimate),
                _ => path.limit * 0.85,
            };
            let at = self.start + Duration::from_millis(self.looks * 250);
            let found = measure(self.estimate.min(4e6), self.sent, lost, queue);
            let believed = self.estimator.estimate(&found, at) * 0.9;
            while self.sent > believed && self.sent > 9_000.0 {
                self.sent /= 1.33;
            }
            self.enough = if self.sent * 1.33 * 1.25 < believed { self.enough + 1 } else { 0 };
            if self.enough == 20 {
                self.enough = 0;
                while self.sent * 1.33 * 1.25 < believed {
                    self.sent *= 1.33;
                }
            }
        }
        over as f64 / 4.0
    }
}

#[test]
fn a_wide_path_is_found_and_a_narrow_one_is_left_alone() {
    for queue in [true, false] {
        let mut walk = Walk::new(9_000.0);
        let over = walk.go(SimulatedPath { limit: 2e6, loses: 0.0, queue }, 180);
        assert!(walk.sent > 1e6, "{} after {over} s", walk.sent);
        assert!(over < 10.0, "{over} s of 180");
        let mut walk = Walk::new(9_000.0);
        let over = walk.go(SimulatedPath { limit: 16e3, loses: 0.0, queue }, 600);
        assert!((9e3..=16e3).contains(&walk.sent), "{}", walk.sent);
        assert!(over < 40.0, "{over} s of 600, queue {queue}");
    }
}

#[test]
fn a_path_that_loses_packets_at_random_carries_what_it_can() {
    for loses in [0.02, 0.05, 0.1, 0.2] {
        let mut walk = Walk::new(100e3);
        walk.go(SimulatedPath { limit: 300e3, loses: 0.0, queue: true }, 60);
        walk.go(SimulatedPath { limit: 300e3, loses, queue: true }, 30);
        assert!(walk.sent > 100e3, "{loses}: {}", walk.sent);
    }
}

#[test]
fn a_path_that_gets_narrow_is_followed() {
    for queue in [true, false] {
        let mut walk = Walk::new(100e3);
        walk.go(SimulatedPath { limit: 1e6, loses: 0.0, queue }, 60);
        assert!(walk.sent > 300e3, "{}", walk.sent);
        walk.go(SimulatedPath { limit: 60e3, loses: 0.02, queue }, 25);
        let over = walk.go(SimulatedPath { limit: 60e3, loses: 0.02, queue }, 60);
        assert!((15e3..=90e3).contains(&walk.sent), "queue {queue}: {}", walk.sent);
        assert!(over < 20.0, "queue {queue}: {over} s of 60");
    }
}

#[test]
fn a_trial_that_fails_ends_at_once_and_the_next_comes_later() {
    let start = Instant::now();
    let mut estimator = LossAwareEstimator::new(start);
    let mut check = |seconds: u64, payload, queue_ms, expect: f64| {
        let at = start + Duration::from_secs(seconds);
        let found = estimator.estimate(&measure(payload, 10.0, 0.0, queue_ms), at);
        assert_eq!(found, expect, "{seconds} s");
    };
    check(2, 20.0, 0, 20.0);
    check(3, 20.0, 0, 40.0);
    check(4, 18.0, 10, 36.0);
    check(5, 12.0, 90, 12.0);
    check(10, 12.0, 0, 12.0);
    check(11, 12.0, 0, 24.0);
}

#[test]
fn a_queue_shows_what_the_path_carries() {
    let start = Instant::now();
    let mut estimator = LossAwareEstimator::new(start);
    let mut estimate = |milliseconds: u64, payload, queue_ms, rate| {
        let mut found = measure(payload, 100.0, 0.0, queue_ms);
        found.arrived.rate = rate;
        estimator.estimate(&found, start + Duration::from_millis(milliseconds))
    };
    assert_eq!(estimate(0, 200.0, 0, 100.0), 200.0);
    assert_eq!(estimate(250, 60.0, 100, 80.0), 68.0);
    assert_eq!(estimate(500, 40.0, 40, 68.0), 68.0);
    assert_eq!(estimate(750, 30.0, 90, 60.0), 51.0);
}

#[test]
fn losses_are_doubted_and_then_taken_for_what_they_are() {
    let start = Instant::now();
    let mut estimator = LossAwareEstimator::new(start);
    let mut check = |seconds: u64, sent, lost, expect: f64| {
        let at = start + Duration::from_secs(seconds);
        let found = estimator.estimate(&measure(1000.0, sent, lost, 0), at);
        assert!((found - expect).abs() < 1e-6, "{seconds} s: {found}");
    };
    check(1, 100.0, 0.05, 1000.0);
    check(2, 100.0, 0.2, 72.0);
    check(3, 70.0, 0.2, 72.0);
    // Less was sent, but as much was lost.
    check(7, 70.0, 0.18, 2000.0);
    check(8, 100.0, 0.22, 2000.0);
    // The loss increased, and decreased when less was sent.
    check(9, 140.0, 0.5, 63.0);
    check(14, 60.0, 0.2, 63.0);
    check(16, 60.0, 0.2, 69.0);
}

#[test]
fn what_goes_through_is_there_however_low_the_estimate() {
    let start = Instant::now();
    let mut estimator = LossAwareEstimator::new(start);
    assert_eq!(
        estimator.estimate(&measure(10.0, 100.0, 0.0, 0), start),
        100.0 * GOODPUT_ROOM_FACTOR
    );
    assert_eq!(
        estimator.estimate(&measure(9.0, 100.0, 0.0, 0), start),
        100.0 * GOODPUT_ROOM_FACTOR,
        "jitter"
    );
    assert_eq!(estimator.estimate(&measure(8.0, 100.0, 0.0, 90), start), 8.0, "a queue");
    assert_eq!(estimator.estimate(&measure(8.0, 100.0, 0.0, 0), start), 8.0, "just now");
    assert_eq!(
        estimator.estimate(&measure(8.0, 100.0, 0.0, 0), start + CONGESTED_HOLD),
        100.0 * GOODPUT_ROOM_FACTOR
    );
}
