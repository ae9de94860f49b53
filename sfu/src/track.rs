//! One viewer's numbering of a source's packets.

use super::Packet;
use super::terms::{LocalTrack, TrackTerms};

/// Highest sequence number of the first packet: SRTP's rollover counter begins at zero for the
/// receiver, and a number near 65,535 could be lost with it (RFC 3711 section 3.3.1).
const FIRST_NUMBER_MAX: u64 = 1 << 15;

/// A track of one viewer.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) terms: TrackTerms,
    pub(super) local: LocalTrack,
    /// Number of the next packet.
    next: u64,
    /// Number of the first packet of the current source and ours for it.
    base: Option<(u64, u64)>,
}

impl Track {
    /// A track that has sent nothing.
    pub(super) fn new(terms: TrackTerms, local: LocalTrack) -> Self {
        Self { terms, local, next: rand::random::<u64>() % FIRST_NUMBER_MAX, base: None }
    }

    /// The next packet is the first of another source: its numbers continue ours.
    pub(super) fn begin(&mut self) {
        self.base = None;
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

    #[test]
    fn numbers_go_on_over_sources_and_keep_holes() {
        let terms = TrackTerms {
            is_video: true,
            payload_type: 96,
            rtx: None,
            clock_rate_hz: 90_000,
            nack: true,
            capture_time_id: None,
        };
        let mut track = Track::new(terms, LocalTrack { ssrc: 1, rtx_ssrc: None });
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
