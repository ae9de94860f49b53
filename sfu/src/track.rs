//! One viewer's numbering of a source's packets, and their times.

use super::Packet;
use super::terms::{LocalTrack, TrackTerms};

/// Highest sequence number of the first packet: SRTP's rollover counter begins at zero for the
/// receiver, and a number near 65,535 could be lost with it (RFC 3711 section 3.3.1).
const FIRST_NUMBER_MAX: u64 = 1 << 15;

/// Most that another source may lag behind the one before it and be moved behind it: the layers of a
/// publisher differ by less. What lags more has another reason.
const LAG_MAX_MS: u32 = 200;

/// A track of one viewer.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) terms: TrackTerms,
    pub(super) local: LocalTrack,
    /// Number of the next packet.
    next: u64,
    /// Number of the first packet of the current source and ours for it.
    base: Option<(u64, u64)>,
    /// RTP time of the newest packet, as sent.
    newest: Option<u32>,
    /// The next packet is the first of a source that takes over from another.
    takes_over: bool,
    /// What the times of the current source are later than its own, in units of the clock rate.
    shift: u32,
}

impl Track {
    /// A track that has sent nothing.
    pub(super) fn new(terms: TrackTerms, local: LocalTrack) -> Self {
        let next = rand::random::<u64>() % FIRST_NUMBER_MAX;
        Self { terms, local, next, base: None, newest: None, takes_over: false, shift: 0 }
    }

    /// The next packet is the first of a source, or of what is sent of it once more: its numbers continue
    /// ours.
    pub(super) fn begin(&mut self) {
        (self.base, self.takes_over, self.shift) = (None, false, 0);
    }

    /// The next packet is the first of a source that takes over from another: its times continue ours
    /// too.
    pub(super) fn take_over(&mut self) {
        self.begin();
        self.takes_over = true;
    }

    /// Our RTP time for a packet of the current source.
    pub(super) fn time(&mut self, packet: &Packet) -> u32 {
        if std::mem::take(&mut self.takes_over) {
            let per_ms = self.terms.clock_rate_hz / 1000;
            let earliest = self.newest.map_or(packet.time, |newest| newest.wrapping_add(per_ms));
            let lag = earliest.wrapping_sub(packet.time);
            self.shift = if lag <= LAG_MAX_MS * per_ms { lag } else { 0 };
        }
        let time = packet.time.wrapping_add(self.shift);
        self.newest = Some(time);
        time
    }

    /// Our number for a packet of the current source; `None` for one before its first. Holes of the
    /// source stay holes: the player conceals or requests what is lost.
    pub(super) fn number(&mut self, packet: &Packet) -> Option<u64> {
        let (theirs, ours) = *self.base.get_or_insert((packet.number, self.next));
        let number = ours + packet.number.checked_sub(theirs)?;
        self.next = self.next.max(number + 1);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn track() -> Track {
        let terms = TrackTerms {
            is_video: true,
            payload_type: 96,
            rtx: None,
            clock_rate_hz: 90_000,
            nack: true,
            capture_time_id: None,
        };
        Track::new(terms, LocalTrack { ssrc: 1, rtx_ssrc: None })
    }

    #[test]
    fn a_source_that_takes_over_continues_the_times() {
        let mut track = track();
        let time = |track: &mut Track, time| {
            let (captured, payload) = (Instant::now(), [].into());
            track.time(&Packet {
                number: 0,
                time,
                marker: false,
                is_start: false,
                captured,
                payload,
            })
        };
        assert_eq!(time(&mut track, u32::MAX - 9), u32::MAX - 9);
        // 10 ms behind: moved by that and a millisecond, for as long as it plays.
        track.take_over();
        assert_eq!(time(&mut track, u32::MAX - 909), 80);
        assert_eq!(time(&mut track, u32::MAX - 9), 980);
        // Ahead, and far behind.
        track.take_over();
        assert_eq!(time(&mut track, 5000), 5000);
        track.take_over();
        assert_eq!(time(&mut track, 5000u32.wrapping_sub(90_000)), 5000u32.wrapping_sub(90_000));
        // What is sent once more has its own times.
        track.begin();
        assert_eq!(time(&mut track, 3000), 3000);
    }

    #[test]
    fn numbers_go_on_over_sources_and_keep_holes() {
        let mut track = track();
        let number = |track: &mut Track, number| {
            let (captured, payload) = (Instant::now(), [].into());
            let packet =
                Packet { number, time: 0, marker: false, is_start: false, captured, payload };
            track.number(&packet)
        };
        let first = number(&mut track, 70_000).expect("the first");
        assert!(first < FIRST_NUMBER_MAX);
        assert_eq!(number(&mut track, 70_003), Some(first + 3));
        assert_eq!(number(&mut track, 69_999), None, "before it began");
        track.begin();
        assert_eq!(number(&mut track, 5), Some(first + 4));
    }
}
