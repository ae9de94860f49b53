//! Holds sender reports back that would come too early.

use std::time::{Duration, Instant};

/// How long sender reports are held back for a track that sends nothing: before its first packet
/// str0m reports the RTP time zero, and players would take it for the time of their clock.
const FIRST_PACKETS_MAX: Duration = Duration::from_secs(5);

/// Packet type of sender reports (RFC 3550 section 12.1).
const SENDER_REPORT_TYPE: u8 = 200;

/// Packet types of RTCP where RTP shares its port (RFC 5761 section 4).
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 192..=223;

/// The tracks without a packet so far.
#[derive(Debug)]
pub(super) struct FirstReports {
    /// SSRCs.
    unsent: Vec<u32>,
    /// Until when they are waited for, since the first report.
    until: Option<Instant>,
}

impl FirstReports {
    /// Waits for the first packet of each of these SSRCs.
    pub(super) fn new(ssrcs: impl Iterator<Item = u32>) -> Self {
        Self { unsent: ssrcs.collect(), until: None }
    }

    /// Whether a datagram is a sender report, which begins in clear text, before the first packet of
    /// each track.
    pub(super) fn is_early(&mut self, now: Instant, datagram: &[u8]) -> bool {
        let [128..192, kind, ..] = *datagram else { return false };
        if self.unsent.is_empty() {
            return false;
        }
        if RTCP_TYPES.contains(&kind) {
            let until = *self.until.get_or_insert(now + FIRST_PACKETS_MAX);
            return kind == SENDER_REPORT_TYPE && now < until;
        }
        if let Some(Ok(ssrc)) = datagram.get(8..12).map(TryInto::try_into) {
            let ssrc = u32::from_be_bytes(ssrc);
            self.unsent.retain(|of| *of != ssrc);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_wait_for_the_first_packet_of_each_track_but_not_for_ever() {
        let start = Instant::now();
        let packet = |ssrc: u8| [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, ssrc];
        let report = [0x80, SENDER_REPORT_TYPE, 0, 6];
        let mut reports = FirstReports::new([1, 2].into_iter());
        assert!(!reports.is_early(start, &packet(1)));
        assert!(reports.is_early(start, &report), "track 2 has sent nothing");
        assert!(!reports.is_early(start, &[0x81, 201, 0, 7]), "another kind of report");
        assert!(!reports.is_early(start, &[22, SENDER_REPORT_TYPE]), "DTLS");
        assert!(!reports.is_early(start + FIRST_PACKETS_MAX, &report), "track 2 may be silent");
        assert!(!reports.is_early(start, &packet(2)));
        assert!(!reports.is_early(start, &report));
    }
}
