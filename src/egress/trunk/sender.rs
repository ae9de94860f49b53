//! A running trunk: measures the path, decides what to send, and reports.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Trunk;
use super::audio::{AudioBranch, Form};
use super::estimator::{LossAwareEstimator, Measure};
use super::exchange::{RemoteStatus, exchange};
use super::ladder::{Decision, Ladder, Path, VideoNeeds};
use super::links::Links;
use super::packet_counter::PacketTotals;
use super::path_monitor::PathMonitor;
use super::video::VideoBranch;
use crate::aic::predict::Predictor;
use crate::flow::{Blame, CaptionFeeds, Error, NodeEvent, Task};
use crate::media::Kind;
use crate::webrtc::stats::{Connection, RtpStats};
use crate::webrtc::trunk::{Receiving, Sending};
use crate::webrtc::{Peer, aic};

/// The other end is gone if nothing has arrived for this long: it sends reports every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// How often the path is checked.
const PATH_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// How often figures are updated.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

/// Assumed bandwidth of a path without measurement, bit/s.
const UNMEASURED_PATH_BPS: f64 = 4_000_000.0;

/// The parts of a running trunk.
pub(super) struct TrunkSender<'a> {
    pub(super) task: &'a Task,
    pub(super) peer: &'a Peer,
    pub(super) trunk: &'a Trunk,
    pub(super) captions: &'a CaptionFeeds,
}

/// What is sent, and its measurements.
pub(super) struct SenderState {
    pub(super) ladder: Ladder,
    pub(super) path_monitor: PathMonitor,
    estimator: LossAwareEstimator,
    pub(super) audio: Option<AudioBranch>,
    pub(super) video: Option<VideoBranch>,
    pub(super) predictor: Predictor,
    pub(super) decision: Option<Decision>,
    /// Recent share of lost packets, 0.0-1.0.
    pub(super) loss: f64,
    /// Recent share of concealed audio frames, 0.0-1.0.
    pub(super) missing: f64,
    pub(super) rtt: Option<Duration>,
    /// Sending rate, bit/s on the wire.
    pub(super) sending: f64,
    /// Ratio of bytes on the wire to payload bytes.
    pub(super) overhead: f64,
    /// Whether the other end can decode AIC-A.
    voice: bool,
    /// Whether the encoder classifies the audio as voice.
    speech: bool,
    /// Number of failures of the other end's engine.
    failures: u64,
    pub(super) read: PacketTotals,
    pub(super) received: Receiving,
    pub(super) sent: RtpStats,
    pub(super) figures_at: Instant,
}

/// State reported by the encoder.
#[derive(Clone, Debug)]
struct EncoderStatus {
    /// Why its engine cannot send AIC-A. `None` if it can.
    broken: Option<String>,
    /// Whether the audio is voice.
    speech: bool,
}

impl TrunkSender<'_> {
    /// Sends until the other end is gone.
    ///
    /// # Errors
    /// If no connection is established, the pipeline fails, or the other end is gone.
    pub(super) async fn run(
        &self,
        mut links: Links,
        path_monitor: PathMonitor,
    ) -> Result<(), Error> {
        let channel = links.channel.take();
        let mut sender = self.prepare(&links, path_monitor)?;
        let sending = watch::Sender::new(Sending::default());
        let told = watch::Sender::new(RemoteStatus::default());
        let heard = watch::Sender::new(EncoderStatus { broken: None, speech: true });
        tokio::select! {
            result = self.watch_pipeline(&heard) => result,
            () = exchange(channel, self.captions, sending.subscribe(), &told) => Ok(()),
            result = self.send_media(&links, &mut sender, &sending, &told, heard.subscribe()) => result,
        }
    }

    /// Builds the negotiated branches.
    fn prepare(&self, links: &Links, mut path_monitor: PathMonitor) -> Result<SenderState, Error> {
        let settings = &self.trunk.settings;
        let kbps = links.of(Kind::Video).map_or(0, |(source, agreed, _)| {
            let codec = agreed.payload.codec().unwrap_or(crate::media::Codec::H264);
            let usual = || self.trunk.codecs.default_kbps(codec, &source.format);
            settings.video_kbps.unwrap_or_else(usual)
        });
        // The path is measured only if the other end reports the arrival of each packet.
        if links.tracks.iter().any(|(agreed, _)| agreed.transport_cc.is_some()) {
            path_monitor.begin(f64::from(kbps) * 1000.0);
        }
        let (mut audio, mut video) = (None, None);
        if let Some((_, agreed, track)) = links.of(Kind::Audio) {
            audio = Some(AudioBranch::add(self.peer, agreed, track)?);
        }
        if let Some((source, agreed, track)) = links.of(Kind::Video) {
            let codecs = &self.trunk.codecs;
            video = Some(VideoBranch::add(self.peer, agreed, track, source, codecs, kbps)?);
        }
        let video_needs = video
            .as_ref()
            .map(|p| VideoNeeds { wanted: f64::from(kbps) * 1000.0, encoded: p.is_encoded() });
        Ok(SenderState {
            ladder: Ladder::new(video_needs),
            path_monitor,
            estimator: LossAwareEstimator::new(Instant::now()),
            audio,
            video,
            predictor: Predictor::new(),
            decision: None,
            loss: 0.0,
            missing: 0.0,
            rtt: None,
            sending: 0.0,
            overhead: 1.0,
            voice: true,
            speech: true,
            failures: 0,
            read: PacketTotals::default(),
            received: Receiving::default(),
            sent: RtpStats::default(),
            figures_at: Instant::now(),
        })
    }

    /// Follows the bus: an error ends the trunk, an engine failure is reported.
    async fn watch_pipeline(&self, heard: &watch::Sender<EncoderStatus>) -> Result<(), Error> {
        loop {
            match self.peer.node().next_event().await? {
                NodeEvent::Eos => return Err(Error::Ended),
                NodeEvent::Element(message) if message.name() == aic::CODEC => {
                    self.on_codec_changed(&message, heard);
                }
                NodeEvent::Element(_) => {}
            }
        }
    }

    /// Handles the encoder's change to another codec, by choice or because its engine failed.
    fn on_codec_changed(&self, message: &gst::StructureRef, heard: &watch::Sender<EncoderStatus>) {
        let codec = message.get::<String>("codec").unwrap_or_default();
        let why = message.get::<String>("reason").unwrap_or_default();
        let reason = aic::reason(message);
        tracing::info!(trunk = self.task.name, codec, reason, "voice goes on by another codec");
        let failed = ["not-there", "died", "late", "failed"].contains(&why.as_str());
        heard.send_modify(|heard| {
            heard.broken = (codec == "opus" && failed).then_some(reason);
            if why == "content" {
                heard.speech = codec == "aic";
            }
        });
    }

    async fn send_media(
        &self,
        links: &Links,
        sender: &mut SenderState,
        sending: &watch::Sender<Sending>,
        told: &watch::Sender<RemoteStatus>,
        mut heard: watch::Receiver<EncoderStatus>,
    ) -> Result<(), Error> {
        self.peer.connected().await?;
        if let Some((source, ..)) = links.of(Kind::Audio) {
            self.peer.node().input(source.kind.as_str(), &source.feed, crate::flow::Join::Live)?;
        }
        self.look(links, sender)?;
        self.task.status.set_running();
        let gone = self.peer.gone_after(SILENCE_MAX);
        tokio::pin!(gone);
        let mut changed_status = told.subscribe();
        let (mut looks, mut figures) = (interval(PATH_CHECK_INTERVAL), interval(FIGURES_INTERVAL));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                why = &mut gone => {
                    let message = format!("the other end is gone: {why}");
                    return Err(Error::refused(Blame::Destination, message, "it is called again"));
                }
                // An engine failure or recovery at the other end takes effect at once.
                Ok(()) = changed_status.changed() => {
                    let changed_status = changed_status.borrow_and_update().clone();
                    self.told(sender, &changed_status);
                    self.look(links, sender)?;
                }
                Ok(()) = heard.changed() => {
                    let now = heard.borrow_and_update().clone();
                    sender.speech = now.speech;
                    if let Some(reason) = now.broken {
                        self.fell_back(sender, "here", &reason);
                    }
                    self.look(links, sender)?;
                }
                _ = looks.tick() => self.look(links, sender)?,
                _ = figures.tick() => {
                    let found = self.peer.stats().await;
                    let found = found.map(|s| Connection::read(&s)).unwrap_or_default();
                    let said = told.borrow().clone();
                    sending.send_replace(self.figures(links, sender, &found, &said));
                }
            }
        }
    }

    /// Applies the engine state reported by the other end.
    fn told(&self, sender: &mut SenderState, told: &RemoteStatus) {
        sender.voice = told.aic_broken.is_none();
        if told.failures > sender.failures {
            sender.failures = told.failures;
            self.fell_back(sender, "there", told.aic_broken.as_deref().unwrap_or("it failed"));
        }
    }

    fn fell_back(&self, sender: &mut SenderState, end: &str, reason: &str) {
        tracing::warn!(trunk = self.task.name, end, reason, "AIC-A fails: voice goes on as Opus");
        self.task.status.set("aic_failed", format!("{end}: {reason}"));
        sender.ladder.engine_failed(Instant::now());
    }

    /// Decides what to send from now on.
    fn look(&self, links: &Links, sender: &mut SenderState) -> Result<(), Error> {
        let settings = &self.trunk.settings;
        let most = settings.max_kbps.map_or(f64::INFINITY, |kbps| f64::from(kbps) * 1000.0);
        let form = sender.audio.as_ref().map(|s| s.form);
        let now = Instant::now();
        let SenderState { overhead, sending: sent, .. } = *sender;
        let arrived = sender.path_monitor.arrived();
        let measure = |payload| Measure { payload, overhead, sent, arrived };
        let estimate = |payload| sender.estimator.estimate(&measure(payload), now);
        let bandwidth = sender.path_monitor.bandwidth().map_or(UNMEASURED_PATH_BPS, estimate);
        tracing::debug!(trunk = self.task.name, bandwidth, sent, ?arrived, ?sender.estimator, "path");
        let path = Path {
            bandwidth: bandwidth.min(most),
            // The loss reported by the other end is a second older.
            loss: sender.loss.max(arrived.lost),
            voice: sender.voice && form == Some(Form::Aic),
            speech: sender.speech,
            patience: Duration::from_millis(settings.delay_ms.into()),
        };
        let decision = sender.ladder.decide(&path, now);
        let mut changed = false;
        if let Some(audio) = &mut sender.audio {
            changed |= audio.apply(&decision, sender.loss);
        }
        if let (Some(video), Some((source, ..))) = (&mut sender.video, links.of(Kind::Video)) {
            changed |= video.apply(self.peer, source, decision.level, decision.video)?;
        }
        if changed {
            let kbps = (path.bandwidth / 1000.0).round();
            let loss = (sender.loss * 100.0).round();
            let rung = decision.words(form);
            tracing::info!(trunk = self.task.name, rung, kbps, loss_percent = loss, "ladder");
        }
        sender.predictor.predict(decision.voice);
        sender.decision = Some(decision);
        Ok(())
    }
}
