//! One viewer's connection, without sockets and clock: str0m does ICE-lite, DTLS, SRTP, RTCP and
//! data channels.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc};

use super::error::{Ended, Path};
use super::pacer::{PACE_INTERVAL, Pacer};
use super::track::Track;
use super::{Credentials, Error, LocalEnd, LocalTrack, Packet, Terms};

/// A viewer that is silent for this long is gone (RFC 7675 section 5.1): it has time to change
/// networks.
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Packets of a track that can be sent again: a second of 2 Mbit/s. Each costs about 450 bytes.
const RESEND_PACKETS_MAX: usize = 256;

/// How long packets can be sent again: later they come too late to be shown.
const RESEND_AGE_MAX: Duration = Duration::from_secs(1);

/// Share of retransmissions above which waiting ones are dropped: they would only add to congestion.
const RESEND_RATIO_MAX: f32 = 0.15;

/// Interval of sender reports: players synchronise audio and video by them.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long sender reports are held back for a track that sends nothing: before its first packet
/// str0m reports the RTP time zero, and players would take it for the time of their clock.
const FIRST_PACKETS_MAX: Duration = Duration::from_secs(5);

/// Packet type of sender reports (RFC 3550 section 12.1).
const SENDER_REPORT_TYPE: u8 = 200;

/// Packet types of RTCP where RTP shares its port (RFC 5761 section 4).
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 192..=223;

/// Most data channels. A viewer that opens more is disconnected.
const CHANNELS_MAX: usize = 4;

/// Most bytes that wait in the data channels of a viewer.
const CHANNEL_BYTES_MAX: usize = 128 << 10;

/// Bytes waiting in a data channel below which it has room again.
const LOW_BACKLOG_BYTES: usize = 4 << 10;

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
    tracks: Vec<Track>,
    pacer: Pacer,
    channels: Vec<ChannelId>,
    locals: Vec<Candidate>,
    /// When something came from the viewer.
    heard: Instant,
    is_connected: bool,
    /// What str0m answers to datagrams, until the next step.
    replies: Vec<(Path, Vec<u8>)>,
    /// SSRCs of tracks without a packet so far, and until when they are waited for.
    unsent: (Vec<u32>, Option<Instant>),
    happenings: Vec<Happening>,
}

impl Session {
    /// A session on these addresses of the machine, and our end of it for the viewer.
    ///
    /// # Errors
    /// [`Error::Terms`], if str0m does not take them.
    pub(super) fn new(
        terms: &Terms,
        (addresses, has_tcp): (&[SocketAddr], bool),
        certificate: &DtlsCert,
        now: Instant,
    ) -> Result<(Self, LocalEnd), Error> {
        let wrong = |e: String| Error::Terms(e);
        let mut rtc = configured(terms, certificate, now)?;
        let mut locals = Vec::new();
        // UDP first: str0m prefers what it knows first.
        for protocol in [Protocol::Udp, Protocol::Tcp].into_iter().take(1 + usize::from(has_tcp)) {
            for address in addresses {
                let candidate = Candidate::host(*address, protocol);
                let candidate = candidate.map_err(|e| wrong(e.to_string()))?;
                rtc.add_local_candidate(candidate.clone());
                locals.push(candidate);
            }
        }
        let mut api = rtc.direct_api();
        api.set_ice_controlling(false);
        api.set_remote_ice_credentials(creds(&terms.remote));
        let (hash, value) = &terms.fingerprint;
        let fingerprint: Fingerprint = format!("{hash} {value}").parse().map_err(wrong)?;
        api.set_remote_fingerprint(fingerprint);
        let tracks: Vec<Track> = terms
            .tracks
            .iter()
            .enumerate()
            .map(|(index, terms)| {
                let rtx_ssrc = terms.rtx.map(|_| api.new_ssrc());
                let ssrc = api.new_ssrc();
                let kind = if terms.is_video { MediaKind::Video } else { MediaKind::Audio };
                api.declare_media(mid(index), kind);
                let stream = api.declare_stream_tx(ssrc, rtx_ssrc, mid(index), None);
                let share = Some(RESEND_RATIO_MAX);
                stream.set_rtx_cache(RESEND_PACKETS_MAX, RESEND_AGE_MAX, share);
                let local = LocalTrack { ssrc: *ssrc, rtx_ssrc: rtx_ssrc.map(|s| *s) };
                Track::new(terms.clone(), local)
            })
            .collect();
        let own = api.local_ice_credentials();
        let certificate = api.local_dtls_fingerprint().to_string();
        let (hash, value) = certificate.split_once(' ').unwrap_or_default();
        let local = LocalEnd {
            credentials: Credentials { ufrag: own.ufrag, password: own.pass },
            fingerprint: (hash.to_owned(), value.to_owned()),
            addresses: addresses.to_vec(),
            has_tcp,
            tracks: tracks.iter().map(|t| t.local).collect(),
        };
        api.start_dtls(terms.is_active).map_err(|e| wrong(e.to_string()))?;
        if terms.has_data {
            api.start_sctp(terms.is_active);
        }
        let session = Self {
            rtc,
            tracks,
            pacer: Pacer::new(now),
            channels: Vec::new(),
            locals,
            heard: now,
            is_connected: false,
            replies: Vec::new(),
            unsent: (local.tracks.iter().map(|t| t.ssrc).collect(), None),
            happenings: Vec::new(),
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
        self.rtc.handle_input(Input::Receive(now, received)).map_err(failed)?;
        // str0m forgets events if its output is not taken after each input.
        let mut replies = std::mem::take(&mut self.replies);
        let drained = self.drain(now, &mut |path, reply| replies.push((path, reply.to_vec())));
        self.replies = replies;
        drained.map(|_| ())
    }

    /// The track plays another source from now on.
    pub(super) fn begin(&mut self, track: usize) {
        self.pacer.forget(track);
        if let Some(track) = self.tracks.get_mut(track) {
            track.begin();
        }
    }

    /// Queues a packet of the source of a track. Call [`Self::step`] afterwards. Before the
    /// connection is there packets are lost.
    ///
    /// # Errors
    /// [`Ended::TooSlow`], if the queue is full.
    pub(super) fn send(&mut self, track: usize, packet: &Packet) -> Result<(), Ended> {
        if !self.is_connected {
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
            self.write(track, &packet);
        }
        self.rtc.handle_input(Input::Timeout(now)).map_err(failed)?;
        let mut next = self.drain(now, &mut out)?;
        if !self.rtc.is_alive() {
            return Err(Ended::Closed);
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

    fn write(&mut self, track: usize, packet: &Packet) {
        let Some(track) = self.tracks.get_mut(track) else { return };
        let Some(number) = track.number(packet) else { return };
        let (ssrc, pt) = (track.local.ssrc.into(), track.terms.payload_type.into());
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&ssrc) else { return };
        let payload = std::sync::Arc::clone(&packet.payload);
        let rtp = RtpWrite::new(pt, number.into(), packet.time, packet.captured, payload);
        stream.write_rtp(rtp.marker(packet.marker).nackable(track.terms.nack));
    }

    /// Takes all output of str0m; returns its next time.
    fn drain(&mut self, now: Instant, out: &mut impl FnMut(Path, &[u8])) -> Result<Instant, Ended> {
        loop {
            match self.rtc.poll_output().map_err(failed)? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(t) => {
                    let is_tcp = t.proto == Protocol::Tcp;
                    if !self.is_premature(now, &t.contents) {
                        out(Path { local: t.source, remote: t.destination, is_tcp }, &t.contents);
                    }
                }
                Output::Event(event) => self.event(event)?,
            }
        }
    }

    /// Whether a datagram is a sender report, which begins in clear text, before the first packet of
    /// each track.
    fn is_premature(&mut self, now: Instant, datagram: &[u8]) -> bool {
        let (unsent, until) = &mut self.unsent;
        let [128..192, kind, ..] = *datagram else { return false };
        if unsent.is_empty() {
            return false;
        }
        if RTCP_TYPES.contains(&kind) {
            let until = *until.get_or_insert(now + FIRST_PACKETS_MAX);
            return kind == SENDER_REPORT_TYPE && now < until;
        }
        if let Some(Ok(ssrc)) = datagram.get(8..12).map(TryInto::try_into) {
            let ssrc = u32::from_be_bytes(ssrc);
            unsent.retain(|of| *of != ssrc);
        }
        false
    }

    fn event(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Connected => {
                self.is_connected = true;
                self.happenings.push(Happening::Connected);
            }
            Event::KeyframeRequest(asked) => {
                let track = (0..self.tracks.len()).find(|index| mid(*index) == asked.mid);
                self.happenings.extend(track.map(Happening::KeyframeWanted));
            }
            Event::ChannelOpen(id, label) => {
                if self.channels.len() == CHANNELS_MAX {
                    return Err(Ended::Channels);
                }
                if let Some(mut channel) = self.rtc.channel(id) {
                    channel.set_buffered_amount_low_threshold(LOW_BACKLOG_BYTES);
                }
                self.happenings.push(Happening::ChannelOpened(self.channels.len(), label));
                self.channels.push(id);
            }
            Event::ChannelData(data) => {
                let text = String::from_utf8(data.data).ok().filter(|_| !data.binary);
                let text = text.filter(|t| t.len() <= super::channel::MESSAGE_BYTES_MAX);
                if let Some((number, text)) = self.channel_number(data.id).zip(text) {
                    self.happenings.push(Happening::ChannelText(number, text));
                }
            }
            Event::ChannelBufferedAmountLow(id) => {
                let number = self.channel_number(id);
                self.happenings.extend(number.map(Happening::ChannelReady));
            }
            Event::ChannelClose(id) => {
                let number = self.channel_number(id);
                self.happenings.extend(number.map(Happening::ChannelClosed));
            }
            _ => {}
        }
        Ok(())
    }

    fn channel_number(&self, id: ChannelId) -> Option<usize> {
        self.channels.iter().position(|known| *known == id)
    }

    /// What has happened since the last call.
    pub(super) fn happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Sends a text on a data channel; false if there is no room. Call [`Self::step`] afterwards.
    pub(super) fn send_text(&mut self, channel: usize, text: &str) -> bool {
        let channel = self.channels.get(channel).and_then(|id| self.rtc.channel(*id));
        channel.is_some_and(|mut c| c.write(false, text.as_bytes()).unwrap_or(false))
    }

    /// Bytes that wait in a data channel.
    pub(super) fn buffered(&mut self, channel: usize) -> u64 {
        let channel = self.channels.get(channel).and_then(|id| self.rtc.channel(*id));
        channel.map_or(0, |mut c| c.buffered_amount() as u64)
    }

    /// Closes a data channel.
    pub(super) fn close_channel(&mut self, channel: usize) {
        if let Some(id) = self.channels.get(channel) {
            self.rtc.direct_api().close_data_channel(*id);
        }
    }

    /// Begins a new ICE generation with credentials of both ends. Media stays on the old path until
    /// the viewer has chosen a new one.
    pub(super) fn restart(&mut self, own: &Credentials, remote: &Credentials) {
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

    /// Says goodbye: RTCP BYE and DTLS close_notify, sent by the next [`Self::step`].
    pub(super) fn close(&mut self) {
        // A connection that is not there yet has nothing to close.
        let _ = self.rtc.close();
    }
}

fn configured(terms: &Terms, certificate: &DtlsCert, now: Instant) -> Result<Rtc, Error> {
    let mut config = Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .set_dtls_cert(certificate.clone())
        .set_rtcp_report_interval_audio(REPORT_INTERVAL)
        .set_rtcp_report_interval_video(REPORT_INTERVAL)
        .set_sctp_max_buffered_amount(CHANNEL_BYTES_MAX)
        .clear_extension_map()
        .clear_codecs();
    for track in &terms.tracks {
        // With RTP as input, str0m only needs to know video from audio.
        let (codec, channels) = match track.is_video {
            true => (Codec::H264, None),
            false => (Codec::Opus, Some(2)),
        };
        let clock_rate = Frequency::new(track.clock_rate_hz)
            .ok_or_else(|| Error::Terms("a clock rate of zero".into()))?;
        let (pt, rtx) = (track.payload_type.into(), track.rtx.map(Into::into));
        let format = FormatParams::default();
        config.codec_config().add_config(pt, rtx, codec, clock_rate, channels, format);
    }
    Ok(config.build(now))
}

fn protocol(path: Path) -> Protocol {
    if path.is_tcp { Protocol::Tcp } else { Protocol::Udp }
}

fn creds(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.password.clone() }
}

/// str0m's name of a track. It is not sent.
fn mid(index: usize) -> Mid {
    Mid::from(&*index.to_string())
}

fn failed(error: str0m::RtcError) -> Ended {
    Ended::Failed(error.to_string())
}
