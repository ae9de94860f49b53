//! The last packets of a track, for viewers that lose some.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Packet;
use super::setup::{RESEND_AGE_MAX, RESEND_PACKETS_MAX};

/// Least time between two times that a packet is sent again: a request that crosses it asks in vain.
const RESEND_DISTANCE: Duration = Duration::from_millis(10);

/// Packets in the order of their numbers. Payloads are shared with all viewers.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Kept>);

#[derive(Debug)]
struct Kept {
    number: u64,
    packet: Packet,
    sent: Instant,
    resent: Option<Instant>,
}

impl History {
    /// Keeps a packet that is sent with this number. One that comes late is not kept.
    pub(super) fn push(&mut self, number: u64, packet: &Packet, now: Instant) {
        if self.0.back().is_some_and(|last| last.number >= number) {
            return;
        }
        if self.0.len() == RESEND_PACKETS_MAX {
            self.0.pop_front();
        }
        let packet = packet.clone();
        self.0.push_back(Kept { number, packet, sent: now, resent: None });
    }

    /// A packet to send again, by the lower 16 bits of its number; `None` if it is not kept, too old or
    /// was sent again just now.
    pub(super) fn resend(&mut self, number: u16, now: Instant) -> Option<(u64, &Packet)> {
        let last = self.0.back()?.number;
        let behind = (last as u16).wrapping_sub(number);
        let number = last.checked_sub(behind.into())?;
        let at = self.0.binary_search_by_key(&number, |kept| kept.number).ok()?;
        let kept = self.0.get_mut(at)?;
        let is_new = now.saturating_duration_since(kept.sent) <= RESEND_AGE_MAX;
        let again = |at: Instant| now.saturating_duration_since(at) < RESEND_DISTANCE;
        if !is_new || kept.resent.is_some_and(again) {
            return None;
        }
        kept.resent = Some(now);
        Some((number, &kept.packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_by_their_lower_bits_once_and_in_time() {
        let now = Instant::now();
        let (captured, payload) = (now, [].into());
        let packet =
            Packet { number: 0, time: 0, marker: false, is_start: false, captured, payload };
        let mut history = History::default();
        for number in (65_400..65_700).filter(|number| *number != 65_600) {
            history.push(number, &packet, now);
        }
        history.push(65_699, &packet, now);
        let mut resend = |number: u64, at: Duration| {
            history.resend(number as u16, now + at).map(|(number, _)| number)
        };
        let soon = Duration::from_millis(1);
        assert_eq!(resend(65_535, soon), Some(65_535));
        assert_eq!(resend(65_536, soon), Some(65_536));
        assert_eq!(resend(65_536, 2 * soon), None, "just now");
        assert_eq!(resend(65_536, 20 * soon), Some(65_536));
        assert_eq!(resend(65_600, soon), None, "never sent");
        assert_eq!(resend(65_410, soon), None, "not kept");
        assert_eq!(resend(65_701, soon), None, "not sent yet");
        assert_eq!(resend(65_690, 1001 * soon), None, "too old");
    }
}
