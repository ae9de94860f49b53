//! One viewer's connection, without sockets and clock: str0m does ICE-lite, DTLS, SRTP, RTCP and
//! data channels.

mod datagrams;
mod events;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::config::DtlsCert;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::rtp::rtcp::NackEntry;
use str0m::{Candidate, Input, Output, Rtc};

use self::datagrams::{accepts, chooses_path, is_dtls};
use super::Delivery;
use super::error::{Ended, Path};
use super::figures::Gauge;
use super::first_reports::FirstReports;
use super::pacer::{PACE_INTERVAL, Pacer};
use super::sender::Sender;
use super::setup::{Prepared, creds, prepare};
use super::texts::Texts;
use super::track::Track;
use super::{Credentials, Error, LocalEnd, Packet, Terms};

/// A viewer that is silent for this long is gone (RFC 7675 section 5.1): it has time to change
/// networks.
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Least time between two looks at the timers of a session that sends at once: for reports, data
/// channels and the handshake.
const TICK_INTERVAL: Duration = Duration::from_millis(25);

/// Most packets of str0m's pacer in one step: more than it lets pass at once.
const PACED_PACKETS_MAX: usize = 256;

/// What a session tells its owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// Media can flow.
    Connected,
    /// The player needs a key frame of the track with this index.
    KeyframeWanted(usize),
    /// The viewer has opened a data channel; they are numbered from 0.
    ChannelOpened(usize, String),
    /// A text on a data channel.
    ChannelText(usize, String),
    /// A data channel has room again.
    ChannelReady(usize),
    /// A data channel is closed.
    ChannelClosed(usize),
}

/// One viewer.
pub(super) struct Session {
    rtc: Rtc,
    /// When str0m has something to do, if nothing comes before.
    rtc_due: Instant,
    /// str0m has got something since.
    is_stirred: bool,
    /// Sends the media; `None` where str0m does, for its estimate.
    sender: Option<Sender>,
    tracks: Vec<Track>,
    pacer: Pacer,
    texts: Texts,
    locals: Vec<Candidate>,
    /// When something came from the viewer.
    heard: Instant,
    is_connected: bool,
    estimate: Option<Bitrate>,
    /// What str0m answers to datagrams, until the next step.
    replies: Vec<(Path, Vec<u8>)>,
    first_reports: FirstReports,
    /// What the viewer has lost, by the index of the track, until the next step.
    lost: Vec<(usize, NackEntry)>,
    /// We begin the handshake.
    is_client: bool,
    says_goodbye: bool,
    gauge: Gauge,
    happenings: Vec<Happening>,
}

impl Session {
    /// A session on these addresses of the machine, and our end of it for the viewer.
    ///
    /// # Errors
    /// [`Error::Terms`], if str0m does not take them.
    pub(super) fn new(
        terms: &Terms,
        addresses: (&[SocketAddr], bool),
        certificate: &DtlsCert,
        now: Instant,
    ) -> Result<(Self, LocalEnd), Error> {
        let Prepared { rtc, tracks, locals, local } = prepare(terms, addresses, certificate, now)?;
        let session = Self {
            rtc,
            rtc_due: now,
            is_stirred: true,
            sender: terms.congestion.is_none().then(|| Sender::new(&tracks, now)),
            gauge: Gauge::new(tracks.iter().map(|t| t.terms.clock_rate_hz)),
            tracks,
            pacer: Pacer::new(now),
            texts: Texts::default(),
            locals,
            heard: now,
            is_connected: false,
            estimate: None,
            replies: Vec::new(),
            first_reports: FirstReports::new(local.tracks.iter().map(|t| t.ssrc)),
            happenings: Vec::new(),
            lost: Vec::new(),
            is_client: terms.is_active,
            says_goodbye: false,
        };
        Ok((session, local))
    }

    /// Whether a track is video, and its clock rate in Hz.
    pub(super) fn track(&self, index: usize) -> Option<(bool, u32)> {
        self.tracks.get(index).map(|t| (t.terms.is_video, t.terms.clock_rate_hz))
    }

    /// Whether a STUN request knows our password.
    pub(super) fn accepts(&self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        let read = Receive::new(protocol(path), path.remote, path.local, datagram);
        read.is_ok_and(|received| self.rtc.accepts(&Input::Receive(now, received)))
    }

    /// Takes a datagram of the viewer. Call [`Self::step`] afterwards.
    ///
    /// # Errors
    /// [`Ended`], if the connection has ended.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), Ended> {
        let read = Receive::new(protocol(path), path.remote, path.local, datagram);
        let Ok(received) = read else { return Ok(()) };
        self.heard = now;
        self.is_stirred = true;
        let answered = self.replies.len();
        self.rtc.handle_input(Input::Receive(now, received)).map_err(failed)?;
        // str0m forgets events if its output is not taken after each input.
        let mut replies = std::mem::take(&mut self.replies);
        let drained = self.drain(now, &mut |path, reply| replies.push((path, reply.to_vec())));
        self.replies = replies;
        if let Some(sender) = &mut self.sender
            && chooses_path(datagram)
            && self.replies.iter().skip(answered).any(|(to, reply)| *to == path && accepts(reply))
        {
            sender.follow(path);
        }
        drained.map(|_| ())
    }

    /// The track plays a source from now on, or what is sent of it once more.
    pub(super) fn begin(&mut self, track: usize) {
        self.pacer.forget(track);
        if let Some(track) = self.tracks.get_mut(track) {
            track.begin();
        }
    }

    /// The track plays a source from now on that takes over from another.
    pub(super) fn take_over(&mut self, track: usize) {
        self.pacer.forget(track);
        if let Some(track) = self.tracks.get_mut(track) {
            track.take_over();
        }
    }

    /// Sends a packet of the source of a track, or queues it if that is too much at once. Call
    /// [`Self::step`] afterwards. Before the connection is there packets are lost.
    ///
    /// # Errors
    /// [`Ended::TooSlow`], if the queue is full.
    pub(super) fn send(
        &mut self,
        now: Instant,
        track: usize,
        packet: &Packet,
        out: &mut impl FnMut(Path, &[u8]),
    ) -> Result<(), Ended> {
        if !self.is_connected {
            return Ok(());
        }
        if self.pacer.lets_pass(now, packet.payload.len()) {
            self.write(now, track, packet, out);
            return Ok(());
        }
        self.pacer.push(track, packet.clone()).map_err(|_| Ended::TooSlow)
    }

    /// Sends what may be sent, and returns the time of the next call at the latest.
    ///
    /// # Errors
    /// [`Ended`], if the connection has ended.
    pub(super) fn step(
        &mut self,
        now: Instant,
        mut out: impl FnMut(Path, &[u8]),
    ) -> Result<Instant, Ended> {
        self.replies.drain(..).for_each(|(path, reply)| out(path, &reply));
        self.pacer.refill(now);
        while let Some((track, packet)) = self.pacer.pop() {
            self.write(now, track, &packet, &mut out);
        }
        if self.says_goodbye
            && let Some(mut sender) = self.sender.take()
        {
            sender.say_goodbye(now, &mut out);
        }
        if self.is_stirred || now >= self.rtc_due {
            self.run(now, &mut out)?;
        }
        let mut next = self.rtc_due;
        if let Some(sender) = &mut self.sender {
            self.lost.drain(..).for_each(|(track, lost)| sender.resend(track, lost, now, &mut out));
            next = next.min(sender.report(now, &mut out).unwrap_or(next));
        }
        let silent = self.heard + CONSENT_TIMEOUT;
        if now >= silent {
            return Err(Ended::Silent);
        }
        if self.pacer.is_waiting() {
            next = next.min(now + PACE_INTERVAL);
        }
        Ok(next.min(silent))
    }

    /// Lets str0m do what is due.
    fn run(&mut self, now: Instant, out: &mut impl FnMut(Path, &[u8])) -> Result<(), Ended> {
        self.is_stirred = false;
        self.rtc.handle_input(Input::Timeout(now)).map_err(failed)?;
        let mut next = self.drain(now, out)?;
        let sends = self.sender.is_none();
        // str0m's own pacer, which comes with the estimate, gives one packet for each time-out.
        for _ in 0..PACED_PACKETS_MAX {
            if !sends || next > now {
                break;
            }
            self.rtc.handle_input(Input::Timeout(now)).map_err(failed)?;
            next = self.drain(now, out)?;
        }
        if !self.rtc.is_alive() {
            return Err(Ended::Closed);
        }
        // Waking a session costs more than what its timers find to do.
        self.rtc_due = next.max(now + if sends { PACE_INTERVAL } else { TICK_INTERVAL });
        Ok(())
    }

    fn write(
        &mut self,
        now: Instant,
        index: usize,
        packet: &Packet,
        out: &mut impl FnMut(Path, &[u8]),
    ) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let Some(number) = track.number(packet) else { return };
        let time = track.time(packet);
        let moved = (time != packet.time).then(|| packet.at(time));
        let packet = moved.as_ref().unwrap_or(packet);
        if let Some(sender) = &mut self.sender {
            return sender.send(index, number, packet, now, out);
        }
        self.is_stirred = true;
        let (ssrc, pt) = (track.local.ssrc.into(), track.terms.payload_type.into());
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&ssrc) else { return };
        let payload = std::sync::Arc::clone(&packet.payload);
        let rtp = RtpWrite::new(pt, number.into(), packet.time, packet.captured, payload);
        stream.write_rtp(rtp.marker(packet.marker).nackable(track.terms.nack));
    }

    /// Takes all output of str0m; returns its next time.
    fn drain(&mut self, now: Instant, out: &mut impl FnMut(Path, &[u8])) -> Result<Instant, Ended> {
        let drained = self.take_outputs(now, out);
        self.take_keys()?;
        drained
    }

    fn take_outputs(
        &mut self,
        now: Instant,
        out: &mut impl FnMut(Path, &[u8]),
    ) -> Result<Instant, Ended> {
        loop {
            match self.rtc.poll_output().map_err(failed)? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(t) => {
                    let is_tcp = t.proto == Protocol::Tcp;
                    let path = Path { local: t.source, remote: t.destination, is_tcp };
                    if let Some(sender) = self.sender.as_mut().filter(|_| is_dtls(&t.contents)) {
                        sender.follow(path);
                    }
                    if !self.first_reports.is_early(now, &t.contents) {
                        out(path, &t.contents);
                    }
                }
                Output::Event(event) => self.event(now, event)?,
            }
        }
    }

    /// What reaches the viewer, if it was measured since the last call.
    pub(super) fn measured(&mut self) -> Option<Delivery> {
        self.gauge.take()
    }

    /// What has happened since the last call.
    pub(super) fn happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Sends a text on a data channel; false if there is no room. Call [`Self::step`] afterwards.
    pub(super) fn send_text(&mut self, channel: usize, text: &str) -> bool {
        self.is_stirred = true;
        self.texts.send(&mut self.rtc, channel, text)
    }

    /// Bytes that wait in a data channel.
    pub(super) fn buffered(&mut self, channel: usize) -> u64 {
        self.texts.buffered(&mut self.rtc, channel)
    }

    /// Closes a data channel.
    pub(super) fn close_channel(&mut self, channel: usize) {
        self.is_stirred = true;
        self.texts.close(&mut self.rtc, channel);
    }

    /// Begins a new ICE generation with credentials of both ends. Media stays on the old path until
    /// the viewer has chosen a new one.
    pub(super) fn restart(&mut self, own: &Credentials, remote: &Credentials) {
        self.is_stirred = true;
        // Disabling and enabling our candidates forgets the pairs of the old generation: str0m would
        // prefer the first of two paths of equal priority until it fails.
        for candidate in &self.locals {
            self.rtc.direct_api().invalidate_candidate(candidate);
        }
        let mut api = self.rtc.direct_api();
        api.set_local_ice_credentials(creds(own));
        api.set_remote_ice_credentials(creds(remote));
        for candidate in &self.locals {
            self.rtc.add_local_candidate(candidate.clone());
        }
    }

    /// What the best quality needs, in kbit/s. A line that seems to carry less is tried at once, with
    /// some packets at three and six times of that: an estimate that a thin line has taught to be
    /// careful would take half a minute to find that the line is good.
    pub(super) fn desire(&mut self, kbps: u32) {
        self.is_stirred = true;
        let desired = Bitrate::kbps(kbps.into());
        self.rtc.bwe().set_bitrate(Bitrate::ZERO, desired);
        if let Some(estimate) = self.estimate.filter(|estimate| *estimate < desired) {
            self.rtc.bwe().reset(estimate);
        }
    }

    /// Says goodbye: RTCP BYE and DTLS close_notify, sent by the next [`Self::step`].
    pub(super) fn close(&mut self) {
        (self.is_stirred, self.says_goodbye) = (true, true);
        // A connection that is not there yet has nothing to close.
        let _ = self.rtc.close();
    }
}

fn protocol(path: Path) -> Protocol {
    if path.is_tcp { Protocol::Tcp } else { Protocol::Udp }
}

fn failed(error: str0m::RtcError) -> Ended {
    Ended::Failed(error.to_string())
}
