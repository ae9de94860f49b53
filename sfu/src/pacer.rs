//! Spreads bursts: the group of pictures of a viewer that joins, or a large key frame.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Packet;

/// Rate at which a burst is sent, in bytes per second (40 Mbit/s): a group of a 2 Mbit/s stream in
/// about a tenth of its length.
const RATE_BYTES_PER_S: f64 = 5e6;

/// Bytes that may be sent at once: a frame of a 10 Mbit/s stream passes whole.
const BURST_BYTES: f64 = 48_000.0;

/// Most bytes that wait for one viewer: the longest group of pictures and live media meanwhile.
const QUEUED_BYTES_MAX: usize = 8 << 20;

/// Time after which waiting packets are looked at again.
pub(super) const PACE_INTERVAL: Duration = Duration::from_millis(5);

/// The packets that wait for one viewer, each with the index of its track. Bounded.
#[derive(Debug)]
pub(super) struct Pacer {
    waiting: VecDeque<(usize, Packet)>,
    waiting_bytes: usize,
    /// Bytes that may be sent now; below zero after a packet that was larger.
    budget: f64,
    filled_at: Instant,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Pacer {
    /// Nothing waits.
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), waiting_bytes: 0, budget: BURST_BYTES, filled_at: now }
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// [`Overflow`], if too much is waiting.
    pub(super) fn push(&mut self, track: usize, packet: Packet) -> Result<(), Overflow> {
        self.waiting_bytes += packet.payload.len();
        self.waiting.push_back((track, packet));
        if self.waiting_bytes > QUEUED_BYTES_MAX { Err(Overflow) } else { Ok(()) }
    }

    /// Forgets what waits for a track: it plays another source now.
    pub(super) fn forget(&mut self, track: usize) {
        self.waiting.retain(|(of, _)| *of != track);
        self.waiting_bytes = self.waiting.iter().map(|(_, p)| p.payload.len()).sum();
    }

    /// Begins a turn: the time since the last one may be used.
    pub(super) fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.budget = (self.budget + passed * RATE_BYTES_PER_S).min(BURST_BYTES);
    }

    /// Whether a packet of this length may go at once, before all others; it is counted then.
    pub(super) fn lets_pass(&mut self, now: Instant, bytes: usize) -> bool {
        if self.is_waiting() {
            return false;
        }
        self.refill(now);
        let passes = self.budget > 0.0;
        self.budget -= if passes { bytes as f64 } else { 0.0 };
        passes
    }

    /// The next packet that may be sent in this turn.
    pub(super) fn pop(&mut self) -> Option<(usize, Packet)> {
        if self.budget <= 0.0 {
            return None;
        }
        let (track, packet) = self.waiting.pop_front()?;
        self.waiting_bytes -= packet.payload.len();
        self.budget -= packet.payload.len() as f64;
        Some((track, packet))
    }

    /// Whether packets wait.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: usize) -> Packet {
        let (captured, payload) = (Instant::now(), vec![0; bytes].into());
        Packet { number: 0, time: 0, marker: false, is_start: false, captured, payload }
    }

    #[test]
    fn a_burst_is_spread_and_a_frame_passes_whole() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        (0..500).for_each(|_| pacer.push(0, packet(1000)).expect("room"));
        let turn = |pacer: &mut Pacer, at: Duration| {
            pacer.refill(start + at);
            std::iter::from_fn(|| pacer.pop()).count()
        };
        assert_eq!(turn(&mut pacer, Duration::ZERO), 48);
        assert_eq!(turn(&mut pacer, PACE_INTERVAL), 25);
        assert_eq!(turn(&mut pacer, 2 * PACE_INTERVAL), 25);
        assert_eq!(turn(&mut pacer, Duration::from_secs(9)), 48, "idle time is not saved up");
        assert!(!pacer.lets_pass(start + Duration::from_secs(20), 1), "others wait");
        pacer.forget(0);
        assert!(!pacer.is_waiting());
        let at = start + Duration::from_secs(20);
        let passed = (0..100).filter(|_| pacer.lets_pass(at, 1000)).count();
        assert_eq!(passed, 48);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut pacer = Pacer::new(Instant::now());
        let full = (0..9).map(|_| pacer.push(0, packet(1 << 20))).position(|r| r.is_err());
        assert_eq!(full, Some(8));
    }
}
