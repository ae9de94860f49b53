//! Writes RTCP: sender reports with the sender's name, and goodbyes (RFC 3550 section 6).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Packet types (RFC 3550 section 12.1).
const SENDER_REPORT_TYPE: u8 = 200;
const DESCRIPTION_TYPE: u8 = 202;
const GOODBYE_TYPE: u8 = 203;

/// Item of a description: the name that all tracks of a sender share.
const CNAME_ITEM_TYPE: u8 = 1;

/// Seconds from the epoch of NTP, 1900, to that of Unix (RFC 868).
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// Wall-clock time in the form of NTP, by a monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct NtpClock {
    at: Instant,
    unix: Duration,
}

impl NtpClock {
    /// `at` is this moment.
    pub(super) fn new(at: Instant) -> Self {
        Self { at, unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// Seconds with 32 bits of fraction.
    pub(super) fn time(&self, now: Instant) -> u64 {
        // Media may be older than the clock.
        let before = self.at.saturating_duration_since(now);
        let unix = self.unix.saturating_sub(before) + now.saturating_duration_since(self.at);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        ((unix.as_secs() + NTP_OFFSET_S) << 32) | fraction
    }
}

/// What a track has sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) ssrc: u32,
    /// The time now, by NTP and by the track's RTP clock.
    pub(super) ntp: u64,
    pub(super) rtp_time: u32,
    pub(super) packets: u32,
    pub(super) payload_bytes: u32,
}

/// A sender report and the sender's name.
pub(super) fn sender_report(sent: Sent, cname: &str) -> Vec<u8> {
    let mut report = header(0, SENDER_REPORT_TYPE, 6);
    report.extend(sent.ssrc.to_be_bytes());
    report.extend(sent.ntp.to_be_bytes());
    for word in [sent.rtp_time, sent.packets, sent.payload_bytes] {
        report.extend(word.to_be_bytes());
    }
    // A chunk ends with a zero octet and at a word.
    let mut chunk = sent.ssrc.to_be_bytes().to_vec();
    chunk.extend([CNAME_ITEM_TYPE, cname.len() as u8]);
    chunk.extend(cname.bytes());
    chunk.resize((chunk.len() + 1).next_multiple_of(4), 0);
    report.extend(header(1, DESCRIPTION_TYPE, chunk.len() / 4));
    report.extend(chunk);
    report
}

/// A report and a goodbye: a compound begins with a report.
pub(super) fn goodbye(sent: Sent, cname: &str) -> Vec<u8> {
    let mut compound = sender_report(sent, cname);
    compound.extend(header(1, GOODBYE_TYPE, 1));
    compound.extend(sent.ssrc.to_be_bytes());
    compound
}

/// `words` follow the header.
fn header(count: u8, kind: u8, words: usize) -> Vec<u8> {
    let [high, low] = (words as u16).to_be_bytes();
    vec![0x80 | count, kind, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_whole_words_and_say_their_length() {
        let sent = Sent { ssrc: 7, ntp: 1 << 32, rtp_time: 2, packets: 3, payload_bytes: 4 };
        for cname in ["a", "ab", "abc", "abcd", "0123456789abcdef"] {
            let compound = goodbye(sent, cname);
            let (mut at, mut kinds) = (0, Vec::new());
            while let Some(&[_, kind, high, low]) = compound.get(at..at + 4) {
                kinds.push(kind);
                at += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            }
            assert_eq!((at, kinds), (compound.len(), vec![200, 202, 203]), "{cname}");
        }
    }

    #[test]
    fn ntp_time_goes_with_the_monotonic_clock() {
        let start = Instant::now();
        let clock = NtpClock::new(start);
        let later = clock.time(start + Duration::from_millis(1500)) - clock.time(start);
        assert!(later.abs_diff(3 << 31) <= 4, "{later:#x}: 1.5 s, to the nanosecond");
    }
}
