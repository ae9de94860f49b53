//! WHIP: publishers over WebRTC (RFC 9725).
//!
//! One pipeline per publisher: `webrtcbin ! depayloader` for each track, then into the stream as
//! for any other source. One codec of each kind is chosen from the publisher's offer.

mod layers;
mod pads;
mod vp9;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::pads::can_receive;
use self::pads::{Pads, VOICE};
use super::trunk::{self, ReceiverStatus};
use super::unusable::unusable;
use crate::flow::{AccessRequest, Blame, Error, Gate, Intake, NodeEvent};
use crate::media::{Codec, Kind};
use crate::webrtc::sdp::{self, Choice, Description, Direction, LocalTransport, SdpAnswer};
use crate::webrtc::{Config, Peer, aic, stats};

/// How often statistics are read, and a missing key frame is requested again.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// Advice for publishers.
const PLEASE_SEND: &str =
    "send pictures or sound: look whether camera and microphone are on, and stay until they come";

/// A publisher that has received its answer.
pub(crate) struct Publisher {
    intake: Intake,
    peer: Arc<Peer>,
    /// Kind of each SSRC, from the offer.
    sources: Vec<(u32, Kind)>,
    /// State that is reported to the other end of a trunk.
    heard: watch::Sender<ReceiverStatus>,
}

/// Chooses the codecs of an offer, one of each kind.
///
/// # Errors
/// If none is usable, or the offer lacks what a connection needs.
pub(crate) fn choose(offer: &Description, config: &Config) -> Result<Vec<Choice>, Error> {
    let video: Vec<Codec> =
        config.publish_codecs.iter().copied().filter(|c| can_receive(*c)).collect();
    let video = offer.choose_from(Kind::Video, &video);
    let voice = config.aic.then(|| offer.choose_audio(aic::is_ours)).flatten();
    let audio = voice.or_else(|| offer.choose_from(Kind::Audio, &[Codec::Opus]));
    let mut choices: Vec<Choice> = video.into_iter().chain(audio).collect();
    choices.sort_by_key(|c| c.index);
    let hint = "send H.264 (packetization-mode 1), VP8, VP9 or AV1, and Opus, in one bundle";
    offer
        .check(&choices)
        .map_err(|e| Error::refused(Blame::Input, e.to_string(), hint))
        .map(|()| choices)
}

impl Publisher {
    /// Builds a publisher's pipeline and the answer to its offer.
    ///
    /// # Errors
    /// If the pipeline cannot be built.
    pub(crate) async fn new(
        intake: Intake,
        name: String,
        offer: &Description,
        choices: &[Choice],
        config: &Config,
    ) -> Result<(Self, String), Error> {
        let mut peer = Peer::new(name, config)?;
        for choice in choices {
            let media = offer.media.get(choice.index);
            let transport_cc = media.and_then(|m| sdp::transport_cc(choice, m));
            peer.receive(choice, transport_cc);
        }
        let hints = choices.iter().find_map(|c| sdp::aic_hints(c, offer.media.get(c.index)?));
        let layers = |c: &Choice| offer.media.get(c.index)?.simulcast.sent(c.payload.pt);
        let layers = choices.iter().find_map(layers);
        if let Some(more) = layers.as_ref().filter(|layers| !layers.left_out.is_empty()) {
            let (most, names) = (more.rids.len(), more.left_out.join(", "));
            intake.tracks.report.note(format!("{most} layers are taken; left out are {names}"));
        }
        Pads { tracks: intake.tracks.clone(), hints, layers }.attach_to(&peer);
        let gather_max = Duration::from_millis(config.gather_ms);
        let local = LocalTransport {
            description: peer.answer(offer, choices, gather_max).await?,
            announced: config.announced_addresses.clone(),
            is_lite: false,
            session_id: rand::random::<u64>() >> 2,
        };
        let direction = Direction::RecvOnly;
        let answer = SdpAnswer { offer, choices, audio_channels: 2, direction };
        let text = sdp::answer(&answer, &local);
        let sources = choices.iter().filter_map(|c| Some((c.kind, offer.media.get(c.index)?)));
        let sources = sources.flat_map(|(kind, m)| m.ssrcs.iter().map(move |(s, _)| (*s, kind)));
        let (sources, heard) = (sources.collect(), watch::Sender::new(ReceiverStatus::default()));
        Ok((Self { intake, peer: Arc::new(peer), sources, heard }, text))
    }

    /// The WebRTC connection.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Receives media until the publisher leaves, the intake is cancelled, or `cancel`. Reports a
    /// publisher whose media could not be used to the gate.
    pub(crate) async fn run(
        self,
        gate: &dyn Gate,
        access_request: &AccessRequest,
        cancel: &CancellationToken,
    ) {
        let since = Instant::now();
        let result = tokio::select! {
            () = cancel.cancelled() => Err(Error::Ended),
            () = self.intake.cancel.cancelled() => Ok(()),
            result = self.watch_pipeline() => result,
            result = self.receive() => result,
        };
        let stopped = self.peer.node().stop().await;
        let tracks = &self.intake.tracks;
        let (stream, peer) = (&access_request.stream, &access_request.peer);
        match result.and(stopped) {
            Ok(()) => tracing::info!(%stream, peer, "WHIP publisher disconnected by us"),
            Err(error) => {
                tracing::info!(%stream, peer, %error, "WHIP publisher gone");
                if let Some(refusal) = unusable(&error, tracks, since.elapsed(), PLEASE_SEND) {
                    gate.report_refusal(access_request, &refusal);
                }
            }
        }
    }

    /// Follows the bus: an error ends the publisher, an engine failure is reported.
    async fn watch_pipeline(&self) -> Result<(), Error> {
        loop {
            let message = match self.peer.node().next_event().await? {
                NodeEvent::Eos => return Err(Error::Ended),
                NodeEvent::Element(message) => message,
            };
            let broken = match message.name().as_str() {
                aic::UNAVAILABLE => Some(aic::reason(&message)),
                aic::AVAILABLE => None,
                aic::HINTS => {
                    self.show(&message);
                    continue;
                }
                _ => continue,
            };
            if let Some(reason) = &broken {
                tracing::warn!(
                    publisher = self.peer.node().name(),
                    reason,
                    "AIC-A cannot be heard"
                );
            }
            self.heard.send_modify(|heard| heard.aic_broken = broken);
        }
    }

    /// Shows the content class and the loudness that the sender of AIC-A signals.
    fn show(&self, hints: &gst::StructureRef) {
        let status = &self.intake.tracks.report.status;
        if let Ok(class) = hints.get::<&str>("class") {
            status.set("content", class);
        }
        if let Ok(loudness) = hints.get::<f64>("loudness-dbfs") {
            status.set("loudness_dbfs", loudness.round());
        }
    }

    async fn receive(&self) -> Result<(), Error> {
        self.peer.connected().await?;
        let watch = async {
            let mut tick = tokio::time::interval(STATS_INTERVAL);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                self.look().await;
            }
        };
        let (caption_feeds, report) = (&self.intake.captions, &self.intake.tracks.report);
        tokio::select! {
            never = trunk::serve(&self.peer, caption_feeds, report, self.heard.subscribe()) => match never {},
            why = self.peer.gone() => {
                tracing::debug!(publisher = self.peer.node().name(), why, "publisher left");
                Err(Error::Ended)
            }
            () = watch => Ok(()),
        }
    }

    /// Reads the reception statistics, and requests a key frame while there is none.
    async fn look(&self) {
        let tracks = &self.intake.tracks;
        tracks.report.bytes.store(self.peer.bytes_heard(), Ordering::Relaxed);
        if tracks.video.age().is_none() || !tracks.video.has_key() {
            self.peer.request_keyframes();
        }
        if let Some(found) = self.peer.stats().await {
            let found = stats::Connection::read(&found);
            tracks.report.lost.store(found.lost(), Ordering::Relaxed);
            let kind = |ssrc| self.sources.iter().find(|(s, _)| *s == ssrc).map(|(_, kind)| *kind);
            let voice = self.peer.node().pipeline().by_name(VOICE);
            let voice = voice.map(|decoder| decoder.property::<gst::Structure>("stats"));
            if let Some(voice) = &voice {
                for name in ["frames", "concealed"] {
                    tracks.report.status.set(name, voice.get::<u64>(name).unwrap_or(0));
                }
            }
            self.heard.send_modify(|heard| {
                heard.read(&found, kind);
                if let Some(voice) = &voice {
                    heard.receiving.frames = voice.get("frames").unwrap_or(0);
                    heard.receiving.concealed = voice.get("concealed").unwrap_or(0);
                }
            });
            if let Some(rtt) = found.round_trip {
                let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
                tracks.report.rtt_us.store(micros, Ordering::Relaxed);
            }
        }
    }
}
