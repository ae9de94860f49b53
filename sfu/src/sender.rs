//! Sends the media of one viewer with the keys of its handshake.
//!
//! str0m could do it too, but what it keeps of each packet costs several times what encryption and the
//! system cost (docs/measurements.md).

use std::time::{Duration, Instant};

use str0m::rtp::rtcp::NackEntry;

use super::Packet;
use super::error::Path;
use super::history::History;
use super::reports::{self, NtpClock, Sent};
use super::setup::{REPORT_INTERVAL, RESEND_RATIO_MAX};
use super::srtp::Srtp;
use super::track::Track;

/// Octets of an RTP header without extensions (RFC 3550 section 5.1).
const HEADER_BYTES: usize = 12;

/// Octets of a header extension with the time of capture: the form of one-byte headers (RFC 8285
/// section 4.2), an element of 8 octets with its header, and padding.
const CAPTURE_TIME_BYTES: usize = 16;

/// How often a track says when its media was captured: receivers interpolate by RTP time, as they do
/// between the packets of browsers
/// (<https://webrtc.googlesource.com/src/+/main/docs/native-code/rtp-hdrext/abs-capture-time>).
const CAPTURE_TIME_INTERVAL: Duration = Duration::from_secs(1);

/// Octets that may be sent again at once: some lost packets of a key frame.
const RESEND_BURST_BYTES: f64 = 64_000.0;

/// Sends one viewer's tracks. Does no input or output: callers send what it writes.
pub(super) struct Sender {
    srtp: Option<Srtp>,
    path: Option<Path>,
    tracks: Vec<Sending>,
    clock: NtpClock,
    /// Name that the tracks share, new for each session (RFC 7022).
    cname: String,
    /// Octets of all datagrams so far.
    sent_bytes: u64,
    datagram: Vec<u8>,
}

/// What one track has sent.
struct Sending {
    ssrc: u32,
    payload_type: u8,
    clock_rate_hz: u32,
    /// SSRC, payload type and next number of what is sent again.
    rtx: Option<(u32, u8, u64)>,
    /// Least number that was not used.
    next: u64,
    history: Option<History>,
    /// Octets that may be sent again now.
    resend_budget: f64,
    packets: u32,
    payload_bytes: u32,
    /// When the last packet was captured, and its RTP time.
    last: Option<(Instant, u32)>,
    report_due: Option<Instant>,
    /// Id of the header extension with the time of capture, and when it is due.
    capture_time: Option<(u8, Instant)>,
}

impl Sender {
    /// A sender that waits for keys and path.
    pub(super) fn new(tracks: &[Track], now: Instant) -> Self {
        let sending = |track: &Track| Sending {
            ssrc: track.local.ssrc,
            payload_type: track.terms.payload_type,
            clock_rate_hz: track.terms.clock_rate_hz,
            rtx: track.local.rtx_ssrc.zip(track.terms.rtx).map(|(ssrc, pt)| (ssrc, pt, 1)),
            next: 0,
            history: track.terms.nack.then(History::default),
            resend_budget: RESEND_BURST_BYTES,
            packets: 0,
            payload_bytes: 0,
            last: None,
            report_due: None,
            capture_time: track.terms.capture_time_id.map(|id| (id, now)),
        };
        Self {
            srtp: None,
            path: None,
            tracks: tracks.iter().map(sending).collect(),
            clock: NtpClock::new(now),
            cname: format!("{:016x}", rand::random::<u64>()),
            sent_bytes: 0,
            datagram: Vec::new(),
        }
    }

    /// The handshake has made the keys.
    pub(super) fn key(&mut self, srtp: Srtp) {
        self.srtp = Some(srtp);
    }

    /// The viewer has chosen this path.
    pub(super) fn follow(&mut self, path: Path) {
        self.path = Some(path);
    }

    /// Octets of all datagrams so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// The clock of its reports.
    pub(super) fn clock(&self) -> NtpClock {
        self.clock
    }

    /// Sends a packet of a track with a number, unless that was used: a cipher must not see it twice with
    /// different media (RFC 3711 section 9.1).
    pub(super) fn send(
        &mut self,
        track: usize,
        number: u64,
        packet: &Packet,
        now: Instant,
        out: &mut impl FnMut(Path, &[u8]),
    ) {
        let Some(sending) = self.tracks.get_mut(track) else { return };
        let (Some(srtp), Some(path)) = (&self.srtp, self.path) else { return };
        if number < sending.next {
            return;
        }
        let datagram = &mut self.datagram;
        datagram.clear();
        write_header(datagram, packet, sending.payload_type, number, sending.ssrc);
        if let Some((id, due)) = &mut sending.capture_time
            && now >= *due
        {
            *due = now + CAPTURE_TIME_INTERVAL;
            write_capture_time(datagram, *id, self.clock.time(packet.captured));
        }
        let header_bytes = datagram.len();
        datagram.extend_from_slice(&packet.payload);
        if srtp.seal_rtp(datagram, header_bytes, sending.ssrc, number).is_err() {
            return;
        }
        out(path, datagram);
        self.sent_bytes += datagram.len() as u64;
        sending.sent(number, packet, now);
    }

    /// Sends what a viewer has lost of a track once more, as far as its share allows: what comes too
    /// often only adds to congestion.
    pub(super) fn resend(
        &mut self,
        track: usize,
        lost: NackEntry,
        now: Instant,
        out: &mut impl FnMut(Path, &[u8]),
    ) {
        let Some(sending) = self.tracks.get_mut(track) else { return };
        let (Some(srtp), Some(path)) = (&self.srtp, self.path) else { return };
        let Some(history) = &mut sending.history else { return };
        let following = (0..16).filter(|bit| lost.blp & (1 << bit) != 0);
        let following = following.map(|bit| lost.pid.wrapping_add(bit + 1));
        for number in std::iter::once(lost.pid).chain(following) {
            if sending.resend_budget <= 0.0 {
                return;
            }
            let Some((number, packet)) = history.resend(number, now) else { continue };
            let datagram = &mut self.datagram;
            datagram.clear();
            let (ssrc, index) = match &mut sending.rtx {
                // RFC 4588 section 4: the original number stands before the payload.
                Some((ssrc, payload_type, next)) => {
                    write_header(datagram, packet, *payload_type, *next, *ssrc);
                    datagram.extend((number as u16).to_be_bytes());
                    *next += 1;
                    (*ssrc, *next - 1)
                }
                None => {
                    write_header(datagram, packet, sending.payload_type, number, sending.ssrc);
                    (sending.ssrc, number)
                }
            };
            datagram.extend_from_slice(&packet.payload);
            sending.resend_budget -= datagram.len() as f64;
            if srtp.seal_rtp(datagram, HEADER_BYTES, ssrc, index).is_ok() {
                out(path, datagram);
                self.sent_bytes += datagram.len() as u64;
            }
        }
    }

    /// Sends the reports that are due: one at once with a track's first packet, by which players
    /// synchronise audio and video. Returns when the next is due.
    pub(super) fn report(
        &mut self,
        now: Instant,
        out: &mut impl FnMut(Path, &[u8]),
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for at in 0..self.tracks.len() {
            let Some(due) = self.tracks.get(at).and_then(|sending| sending.report_due) else {
                continue;
            };
            if due <= now {
                self.write_report(at, now, reports::sender_report, out);
            }
            let due = if due <= now { now + REPORT_INTERVAL } else { due };
            self.tracks
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|sending| sending.report_due = Some(due));
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        next
    }

    /// Says that the tracks end.
    pub(super) fn say_goodbye(&mut self, now: Instant, out: &mut impl FnMut(Path, &[u8])) {
        for at in 0..self.tracks.len() {
            self.write_report(at, now, reports::goodbye, out);
        }
    }

    fn write_report(
        &mut self,
        track: usize,
        now: Instant,
        write: fn(Sent, &str) -> Vec<u8>,
        out: &mut impl FnMut(Path, &[u8]),
    ) {
        let Some(sending) = self.tracks.get(track) else { return };
        let (Some(srtp), Some(path)) = (&mut self.srtp, self.path) else { return };
        let mut report = write(sending.report(self.clock.time(now), now), &self.cname);
        if srtp.seal_rtcp(&mut report).is_ok() {
            out(path, &report);
            self.sent_bytes += report.len() as u64;
        }
    }
}

impl Sending {
    fn sent(&mut self, number: u64, packet: &Packet, now: Instant) {
        if let Some(history) = &mut self.history {
            history.push(number, packet, now);
        }
        self.next = number + 1;
        let bytes = packet.payload.len();
        let budget = self.resend_budget + f64::from(RESEND_RATIO_MAX) * bytes as f64;
        self.resend_budget = budget.min(RESEND_BURST_BYTES);
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(bytes as u32);
        self.last = Some((packet.captured, packet.time));
        self.report_due.get_or_insert(now);
    }

    fn report(&self, ntp: u64, now: Instant) -> Sent {
        let units =
            |time: Duration| (time.as_secs_f64() * f64::from(self.clock_rate_hz)) as u64 as u32;
        let rtp_time =
            self.last.map_or(0, |(captured, time)| match now.checked_duration_since(captured) {
                Some(since) => time.wrapping_add(units(since)),
                // Captured ahead of the clock.
                None => time.wrapping_sub(units(captured.duration_since(now))),
            });
        let (packets, payload_bytes) = (self.packets, self.payload_bytes);
        Sent { ssrc: self.ssrc, ntp, rtp_time, packets, payload_bytes }
    }
}

fn write_header(into: &mut Vec<u8>, packet: &Packet, payload_type: u8, number: u64, ssrc: u32) {
    into.extend([0x80, payload_type | if packet.marker { 0x80 } else { 0 }]);
    into.extend_from_slice(&(number as u16).to_be_bytes());
    into.extend_from_slice(&packet.time.to_be_bytes());
    into.extend_from_slice(&ssrc.to_be_bytes());
}

/// Adds the time of capture, by NTP, to a header without extensions.
fn write_capture_time(header: &mut Vec<u8>, id: u8, ntp: u64) {
    if let Some(first) = header.first_mut() {
        *first |= 0x10;
    }
    header.extend([0xbe, 0xde, 0, (CAPTURE_TIME_BYTES / 4 - 1) as u8]);
    header.push(id << 4 | 7);
    header.extend(ntp.to_be_bytes());
    header.resize(HEADER_BYTES + CAPTURE_TIME_BYTES, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_capture_is_a_header_extension() {
        let (captured, payload) = (Instant::now(), [].into());
        let packet = Packet { number: 0, time: 9, marker: true, is_start: true, captured, payload };
        let mut header = Vec::new();
        write_header(&mut header, &packet, 96, 70_000, 0x0102_0304);
        write_capture_time(&mut header, 5, 0x1112_1314_1516_1718);
        let expect = [
            [0x90, 0xe0, 0x11, 0x70],
            [0, 0, 0, 9],
            [1, 2, 3, 4],
            [0xbe, 0xde, 0, 3],
            [0x57, 0x11, 0x12, 0x13],
            [0x14, 0x15, 0x16, 0x17],
            [0x18, 0, 0, 0],
        ];
        assert_eq!(header, expect.concat());
    }

    #[test]
    fn media_may_be_older_than_the_session() {
        let now = Instant::now();
        let clock = NtpClock::new(now);
        let earlier = now.checked_sub(Duration::from_millis(500)).expect("it runs for longer");
        assert_eq!(clock.time(now) - clock.time(earlier), 1 << 31);
    }
}
