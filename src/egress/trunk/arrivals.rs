//! Packet statistics of a path: the other end reports when each packet arrived, or that it did not
//! (transport-wide congestion control, draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Pure: takes packets, returns the loss and the queueing delay.

use std::collections::VecDeque;
use std::time::Duration;

/// Losses are counted over this time. A longer window is steadier and notices a change later.
const LOSS_WINDOW: Duration = Duration::from_secs(3);
/// The window extends up to this while it has fewer than [`PACKETS_MIN`] packets.
const LOSS_WINDOW_MAX: Duration = Duration::from_secs(6);
/// The loss share of fewer packets is not meaningful.
const PACKETS_MIN: usize = 60;
/// Maximum number of remembered packets, whatever their rate.
const PACKETS_MAX: usize = 4096;

/// The queueing delay is that of the fastest packet within this time.
const QUEUE_WINDOW: Duration = Duration::from_millis(400);

/// The received rate is measured over this time.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The delay without a queue is that of the fastest packet within one to two of these windows.
/// Clock drift in that time is below a millisecond, and a route that became longer is accepted.
const DELAY_WINDOW: Duration = Duration::from_secs(8);

/// A longer queue is impossible: the clock of the other end was set. In microseconds.
const CLOCK_JUMP_US: i64 = 10_000_000;

/// One packet reported by the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// When it was sent, by the local clock.
    pub(super) sent: Duration,
    /// When it arrived, by the remote clock, whose offset is arbitrary. `None` if it was lost.
    pub(super) came: Option<Duration>,
    /// Size in bytes, including the RTP header.
    pub(super) size: usize,
}

/// Additional bytes of an RTP packet on the wire: IPv4, UDP and the SRTP tag.
const BELOW_RTP_BYTES: usize = 20 + 8 + 10;

/// Statistics of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Arrived {
    /// Number of reported packets.
    pub(super) packets: usize,
    /// Share of lost packets, 0.0-1.0.
    pub(super) lost: f64,
    /// Queueing delay.
    pub(super) queue: Duration,
    /// Received rate in the last second, bit/s on the wire. If there is a queue, this is the
    /// capacity of the path.
    pub(super) rate: f64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    sent: Duration,
    /// Remote arrival minus local sending time, in microseconds. `None` if it was lost.
    took: Option<i64>,
    size: usize,
}

/// Statistics of one path.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    recent: VecDeque<Known>,
    /// Minimum travel time in the current and the previous window, and the start of the current
    /// one.
    empty: [Option<i64>; 2],
    since: Duration,
}

impl Arrivals {
    /// Takes reported packets, in the order of sending.
    pub(super) fn take(&mut self, packets: impl IntoIterator<Item = Packet>) {
        for Packet { sent, came, size } in packets {
            let took = came.map(|came| micros(came) - micros(sent));
            if let Some(took) = took {
                self.follow_path(sent, took);
            }
            self.recent.push_back(Known { sent, took, size });
        }
        self.forget();
    }

    /// The current statistics.
    pub(super) fn read(&self) -> Arrived {
        let packets = self.recent.len();
        let lost = self.recent.iter().filter(|known| known.took.is_none()).count();
        let fastest = self.last(QUEUE_WINDOW).filter_map(|known| known.took).min();
        let queue = fastest.zip(self.empty()).map_or(0, |(fastest, empty)| fastest - empty);
        Arrived {
            packets,
            lost: if packets == 0 { 0.0 } else { lost as f64 / packets as f64 },
            queue: Duration::from_micros(u64::try_from(queue).unwrap_or(0)),
            rate: self.rate(),
        }
    }

    /// Packets that were sent within this time before the newest.
    fn last(&self, long: Duration) -> impl Iterator<Item = &Known> {
        let newest = self.newest();
        self.recent.iter().rev().take_while(move |known| newest.saturating_sub(known.sent) <= long)
    }

    /// The received rate, by arrival times: while a queue grows, the sending rate is higher.
    fn rate(&self) -> f64 {
        let came = |known: &Known| known.took.map(|took| micros(known.sent) + took);
        let times = || self.last(RATE_WINDOW).filter_map(came);
        let Some((first, last)) = times().min().zip(times().max()) else { return 0.0 };
        let wire =
            |known: &Known| if known.took.is_some() { known.size + BELOW_RTP_BYTES } else { 0 };
        let bytes: usize = self.last(RATE_WINDOW).map(wire).sum();
        // The oldest packet arrived at the start of the interval, so it does not count.
        let oldest =
            self.last(RATE_WINDOW).filter(|known| known.took.is_some()).last().map_or(0, wire);
        let seconds = (last - first) as f64 / 1e6;
        if seconds < 0.1 { 0.0 } else { ((bytes - oldest) * 8) as f64 / seconds }
    }

    fn follow_path(&mut self, sent: Duration, took: i64) {
        if self.empty().is_some_and(|empty| (took - empty).abs() > CLOCK_JUMP_US) {
            self.empty = [None, None];
        }
        if sent.saturating_sub(self.since) >= DELAY_WINDOW {
            (self.since, self.empty) = (sent, [None, self.empty[0]]);
        }
        self.empty[0] = Some(self.empty[0].map_or(took, |least| least.min(took)));
    }

    fn empty(&self) -> Option<i64> {
        self.empty.iter().flatten().min().copied()
    }

    fn newest(&self) -> Duration {
        self.recent.back().map_or(Duration::ZERO, |known| known.sent)
    }

    fn forget(&mut self) {
        let newest = self.newest();
        while let Some(oldest) = self.recent.front() {
            let age = newest.saturating_sub(oldest.sent);
            let few = self.recent.len() <= PACKETS_MIN && age <= LOSS_WINDOW_MAX;
            if self.recent.len() <= PACKETS_MAX && (age <= LOSS_WINDOW || few) {
                return;
            }
            self.recent.pop_front();
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet sent at `sent` ms that took `took` ms; `None` is lost.
    fn packet(sent: u64, took: Option<u64>) -> Packet {
        // The remote clock is an hour ahead.
        let there = |took| Duration::from_millis(3_600_000 + sent + took);
        Packet { sent: Duration::from_millis(sent), came: took.map(there), size: 62 }
    }

    #[test]
    fn losses_of_the_last_seconds_are_counted() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.read(), Arrived::default());
        arrivals.take((0..500).map(|n| packet(n * 20, None)));
        arrivals.take((500..1000).map(|n| packet(n * 20, (n % 10 != 0).then_some(30))));
        let found = arrivals.read();
        assert_eq!((found.packets, found.queue), (151, Duration::ZERO));
        assert!((0.09..0.11).contains(&found.lost), "{found:?}");
    }

    #[test]
    fn few_packets_are_remembered_longer_and_very_many_not_at_all() {
        let mut arrivals = Arrivals::default();
        arrivals.take((0..1000).map(|n| packet(n * 60, Some(30))));
        assert_eq!(arrivals.read().packets, PACKETS_MIN);
        arrivals.take((0..10_000).map(|_| packet(60_000, Some(30))));
        assert_eq!(arrivals.read().packets, PACKETS_MAX);
    }

    #[test]
    fn a_queue_is_seen_and_a_longer_route_is_forgiven() {
        let mut arrivals = Arrivals::default();
        let queue = |arrivals: &Arrivals| arrivals.read().queue.as_millis();
        arrivals.take((0..100).map(|n| packet(n * 20, Some(50 + n % 7))));
        assert_eq!(queue(&arrivals), 0, "jitter is no queue");
        arrivals.take((100..200).map(|n| packet(n * 20, Some(50 + n - 100))));
        assert!((70..100).contains(&queue(&arrivals)), "{}", queue(&arrivals));
        arrivals.take((200..250).map(|n| packet(n * 20, Some(50))));
        assert_eq!(queue(&arrivals), 0);
        arrivals.take((250..300).map(|n| packet(n * 20, Some(250))));
        assert_eq!(queue(&arrivals), 200);
        arrivals.take((300..1200).map(|n| packet(n * 20, Some(250))));
        assert_eq!(queue(&arrivals), 0, "a route");
    }

    #[test]
    fn what_comes_is_what_the_path_carries() {
        let mut arrivals = Arrivals::default();
        // 100 bytes on the wire every 20 ms.
        arrivals.take((0..100).map(|n| packet(n * 20, Some(50))));
        assert!((39_000.0..=41_000.0).contains(&arrivals.read().rate), "{:?}", arrivals.read());
        // Half of that gets through.
        arrivals.take((100..200).map(|n| packet(n * 20, Some(50 + 20 * (n - 100)))));
        assert!((19_000.0..=21_000.0).contains(&arrivals.read().rate), "{:?}", arrivals.read());
        arrivals.take((200..300).map(|n| packet(n * 20, None)));
        assert_eq!(arrivals.read().rate, 0.0);
    }

    #[test]
    fn a_clock_that_is_set_is_no_queue() {
        let mut arrivals = Arrivals::default();
        arrivals.take((0..100).map(|n| packet(n * 20, Some(50))));
        arrivals.take((100..200).map(|n| packet(n * 20, Some(1_000_000))));
        assert_eq!(arrivals.read().queue, Duration::ZERO);
    }
}
