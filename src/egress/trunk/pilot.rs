//! A trunk while it flows: measures the path, decides, and says what is going on.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::ladder::{Decision, Ladder, Level, Path, Pictures};
use super::line::Line;
use super::meter::Reading;
use super::picture::Picture;
use super::sound::{Form, Sound};
use super::talk::{Told, talk};
use super::{Links, Source, Trunk, Video};
use crate::aic::controller::{Choice, WIRE_OVERHEAD};
use crate::aic::predict::Predictor;
use crate::aic::quality;
use crate::flow::{Blame, CueBoard, Error, NodeEvent, Task};
use crate::media::Kind;
use crate::webrtc::stats::{Connection, Flow};
use crate::webrtc::trunk::{Receiving, Sending};
use crate::webrtc::{Peer, aic};

/// An end from which nothing has come for so long is gone: it reports on what it gets every few
/// seconds.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// How often the path is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How often figures are renewed.
const FIGURES: Duration = Duration::from_secs(1);

/// Fewest packets that a share of them is told of.
const SHARE_OF_MIN: u64 = 10;

/// Bandwidth that is assumed of a path of which nothing is known, bit/s.
const UNKNOWN: f64 = 4_000_000.0;

/// What a trunk flies with.
pub(super) struct Flight<'a> {
    pub(super) task: &'a Task,
    pub(super) peer: &'a Peer,
    pub(super) trunk: &'a Trunk,
    pub(super) captions: &'a CueBoard,
}

/// What is sent, and what is known of it.
struct Pilot {
    ladder: Ladder,
    line: Line,
    sound: Option<Sound>,
    picture: Option<Picture>,
    predictor: Predictor,
    decision: Option<Decision>,
    /// Share of packets lost lately.
    loss: f64,
    /// Share of frames of sound that were made up lately.
    missing: f64,
    rtt: Option<Duration>,
    /// Whether the other end can hear AIC-A; which frames are a voice, the encoder decides.
    voice: bool,
    /// How often the other end's engine has failed.
    failures: u64,
    read: Reading,
    received: Receiving,
    sent: Flow,
    figures_at: Instant,
}

impl Flight<'_> {
    /// Sends until the other end is gone.
    ///
    /// # Errors
    /// When no connection comes about, the pipeline fails, or the other end is gone.
    pub(super) async fn run(&self, mut links: Links, line: Line) -> Result<(), Error> {
        let channel = links.channel.take();
        let mut pilot = self.prepare(&links, line)?;
        let sending = watch::Sender::new(Sending::default());
        let told = watch::Sender::new(Told::default());
        let broken = watch::Sender::new(None);
        tokio::select! {
            result = self.watch_pipeline(&broken) => result,
            () = talk(channel, self.captions, sending.subscribe(), &told) => Ok(()),
            result = self.fly(&links, &mut pilot, &sending, &told, broken.subscribe()) => result,
        }
    }

    /// Builds the branches of what was agreed on.
    fn prepare(&self, links: &Links, mut line: Line) -> Result<Pilot, Error> {
        let settings = &self.trunk.settings;
        let kbps = links.of(Kind::Video).map_or(0, |(source, agreed, _)| {
            let codec = agreed.payload.codec().unwrap_or(crate::media::Codec::H264);
            let usual = || self.trunk.codecs.default_kbps(codec, &source.format);
            settings.video_kbps.unwrap_or_else(usual)
        });
        // The path is measured by what the other end says of each packet.
        if links.tracks.iter().any(|(agreed, _)| agreed.transport_cc.is_some()) {
            line.begin(f64::from(kbps) * 1000.0);
        }
        let (mut sound, mut picture) = (None, None);
        if let Some((source, agreed, track)) = links.of(Kind::Audio) {
            sound = Some(Sound::add(self.peer, agreed, track, source.format.codec.is_raw())?);
        }
        if let Some((source, agreed, track)) = links.of(Kind::Video) {
            let codecs = &self.trunk.codecs;
            picture = Some(Picture::add(self.peer, agreed, track, source, codecs, kbps)?);
        }
        let pictures = picture
            .as_ref()
            .map(|p| Pictures { wanted: f64::from(kbps) * 1000.0, encoded: p.is_encoded() });
        Ok(Pilot {
            ladder: Ladder::new(pictures),
            line,
            sound,
            picture,
            predictor: Predictor::new(),
            decision: None,
            loss: 0.0,
            missing: 0.0,
            rtt: None,
            voice: true,
            failures: 0,
            read: Reading::default(),
            received: Receiving::default(),
            sent: Flow::default(),
            figures_at: Instant::now(),
        })
    }

    /// Follows the bus: an error ends the trunk, an engine that fails is told.
    async fn watch_pipeline(&self, broken: &watch::Sender<Option<String>>) -> Result<(), Error> {
        loop {
            match self.peer.node().next_event().await? {
                NodeEvent::Eos => return Err(Error::Ended),
                NodeEvent::Element(message) if message.name() == aic::CODEC => {
                    self.take_codec(&message, broken);
                }
                NodeEvent::Element(_) => {}
            }
        }
    }

    /// The encoder says that another codec goes out: of its own accord, or because its engine failed.
    fn take_codec(&self, message: &gst::StructureRef, broken: &watch::Sender<Option<String>>) {
        let codec = message.get::<String>("codec").unwrap_or_default();
        let why = message.get::<String>("reason").unwrap_or_default();
        let reason = aic::reason(message);
        tracing::info!(trunk = self.task.name, codec, reason, "voice goes on by another codec");
        let failed = ["not-there", "died", "late", "failed"].contains(&why.as_str());
        broken.send_replace((codec == "opus" && failed).then_some(reason));
    }

    async fn fly(
        &self,
        links: &Links,
        pilot: &mut Pilot,
        sending: &watch::Sender<Sending>,
        told: &watch::Sender<Told>,
        mut broken: watch::Receiver<Option<String>>,
    ) -> Result<(), Error> {
        self.peer.connected().await?;
        if let Some((source, ..)) = links.of(Kind::Audio) {
            self.peer.node().input(source.kind.as_str(), &source.feed, crate::flow::Join::Live)?;
        }
        self.look(links, pilot)?;
        self.task.status.set_running();
        let gone = self.peer.gone_after(SILENCE_MAX);
        tokio::pin!(gone);
        let mut news = told.subscribe();
        let (mut looks, mut figures) = (interval(LOOK), interval(FIGURES));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                why = &mut gone => {
                    let message = format!("the other end is gone: {why}");
                    return Err(Error::refused(Blame::Destination, message, "it is called again"));
                }
                // What the other end says of its engine is obeyed at once.
                Ok(()) = news.changed() => {
                    let news = news.borrow_and_update().clone();
                    self.heard(pilot, &news);
                    self.look(links, pilot)?;
                }
                Ok(()) = broken.changed() => {
                    let reason = broken.borrow_and_update().clone();
                    if let Some(reason) = reason {
                        self.fell_back(pilot, "here", &reason);
                    }
                    self.look(links, pilot)?;
                }
                _ = looks.tick() => self.look(links, pilot)?,
                _ = figures.tick() => {
                    let found = self.peer.stats().await;
                    let found = found.map(|s| Connection::read(&s)).unwrap_or_default();
                    let said = told.borrow().clone();
                    sending.send_replace(self.figures(links, pilot, &found, &said));
                }
            }
        }
    }

    /// Takes what the other end says of its engine.
    fn heard(&self, pilot: &mut Pilot, told: &Told) {
        pilot.voice = told.aic_broken.is_none();
        if told.failures > pilot.failures {
            pilot.failures = told.failures;
            self.fell_back(pilot, "there", told.aic_broken.as_deref().unwrap_or("it failed"));
        }
    }

    fn fell_back(&self, pilot: &mut Pilot, end: &str, reason: &str) {
        tracing::warn!(trunk = self.task.name, end, reason, "AIC-A fails: voice goes on as Opus");
        pilot.ladder.engine_failed(Instant::now());
    }

    /// Decides what goes out from now on.
    fn look(&self, links: &Links, pilot: &mut Pilot) -> Result<(), Error> {
        let settings = &self.trunk.settings;
        let most = settings.max_kbps.map_or(f64::INFINITY, |kbps| f64::from(kbps) * 1000.0);
        let form = pilot.sound.as_ref().map(|s| s.form);
        let path = Path {
            bandwidth: pilot.line.bandwidth().unwrap_or(UNKNOWN).min(most),
            loss: pilot.loss,
            voice: pilot.voice && form == Some(Form::Aic),
            patience: Duration::from_millis(settings.delay_ms.into()),
        };
        let decision = pilot.ladder.decide(&path, Instant::now());
        let mut changed = false;
        if let Some(sound) = &mut pilot.sound {
            changed |= sound.apply(decision.sound, pilot.loss);
        }
        if let (Some(picture), Some((source, ..))) = (&mut pilot.picture, links.of(Kind::Video)) {
            changed |= picture.apply(self.peer, source, decision.level, decision.video)?;
        }
        if changed {
            let kbps = (path.bandwidth / 1000.0).round();
            let loss = (pilot.loss * 100.0).round();
            let rung = rung(decision, form);
            tracing::info!(trunk = self.task.name, rung, kbps, loss_percent = loss, "ladder");
        }
        pilot.predictor.predict(decision.sound);
        pilot.decision = Some(decision);
        Ok(())
    }

    /// Renews the figures, for the API here and for the other end.
    fn figures(
        &self,
        links: &Links,
        pilot: &mut Pilot,
        found: &Connection,
        told: &Told,
    ) -> Sending {
        let now = Instant::now();
        let seconds = now.saturating_duration_since(pilot.figures_at).as_secs_f64().max(0.1);
        pilot.figures_at = now;
        pilot.rtt = found.round_trip.or(pilot.rtt);
        pilot.follow_losses(found, told);
        let set = |name, value: f64| self.task.status.set(name, (value * 100.0).round() / 100.0);
        let mut sending = Sending::default();
        let mut audio_kbps = 0.0;
        if let (Some(sound), Some(decision)) = (&pilot.sound, pilot.decision) {
            let read = sound.meter.read();
            let last = read.since(pilot.read);
            pilot.read = read;
            let choice = if last.aic > 0 { decision.sound } else { as_opus(decision.sound) };
            if sound.form == Form::Aic && last.aic == last.sent.packets {
                pilot.predictor.observe(choice, last.sent);
            }
            audio_kbps = last.sent.wire() / 1000.0 / seconds;
            let opus_kbps = last.sent.in_opus() / 1000.0 / seconds;
            set("audio_kbps", audio_kbps);
            set("audio_in_opus_kbps", opus_kbps);
            if opus_kbps > 0.0 && sound.form != Form::Passed {
                set("saved_percent", (1.0 - audio_kbps / opus_kbps) * 100.0);
            }
            let codec = if last.aic * 2 > last.sent.packets { "aic" } else { "opus" };
            sending.codec = codec.into();
            self.task.status.set("codec", codec);
            sending.quality = Some(quality::estimate(choice, pilot.missing, pilot.delay(choice)));
            sending.rung = rung(decision, Some(sound.form));
            self.task.status.set("rung", sending.rung.clone());
        }
        sending.no_pictures = pilot.decision.is_some_and(|d| d.level == Level::Off);
        sending.audio_kbps = (audio_kbps * 10.0).round() / 10.0;
        sending.rtt_ms = pilot.rtt.map(|rtt| (rtt.as_secs_f64() * 10_000.0).round() / 10.0);
        if let Some((source, _, track)) = links.of(Kind::Video) {
            let sent = found.sent(track.ssrc);
            set("video_kbps", pilot.video_kbps(&sent, seconds));
            pilot.follow_feed(source, &self.trunk.settings.video);
        }
        self.show(pilot, found, &sending);
        sending
    }

    fn show(&self, pilot: &Pilot, found: &Connection, sending: &Sending) {
        let set = |name, value: f64| self.task.status.set(name, (value * 1000.0).round() / 1000.0);
        set("loss", pilot.loss);
        set("missing", pilot.missing);
        if let Some(bandwidth) = pilot.line.bandwidth() {
            set("bandwidth_kbps", bandwidth / 1000.0);
        }
        if let Some(rtt) = pilot.rtt {
            set("rtt_ms", rtt.as_secs_f64() * 1000.0);
        }
        if let Some(quality) = sending.quality {
            set("quality", quality);
        }
        if let Some(decision) = pilot.decision {
            let age = pilot.sound.as_ref().map(|_| pilot.delay(decision.sound));
            set("latency_ms", age.unwrap_or_default().as_secs_f64() * 1000.0);
            self.task.status.set("pictures", decision.level.word());
        }
        for (name, value) in [
            ("predicted_ratio", pilot.predictor.predicted()),
            ("actual_ratio", pilot.predictor.actual()),
            ("prediction_error", pilot.predictor.error()),
        ] {
            if let Some(value) = value.filter(|_| sending.codec == "aic") {
                set(name, value);
            }
        }
        let packets: u64 = found.outbound.iter().map(|flow| flow.packets).sum();
        self.task.status.set("packets_sent", packets);
    }
}

impl Pilot {
    /// Losses by what the other end says: on the data channel, or by its RTCP reports.
    fn follow_losses(&mut self, found: &Connection, told: &Told) {
        let Some(now) = &told.receiving else {
            self.loss = found.remote_loss.unwrap_or(0.0);
            self.missing = self.loss;
            return;
        };
        // What was lost before the first report was lost while the connection came about.
        if *now == self.received || self.received == Receiving::default() {
            self.received = now.clone();
            return;
        }
        let share = |part: u64, part_before: u64, rest: u64, rest_before: u64| {
            let (part, rest) = (part.saturating_sub(part_before), rest.saturating_sub(rest_before));
            // The other end may claim anything.
            let all = part.saturating_add(rest);
            (all >= SHARE_OF_MIN).then(|| part as f64 / all as f64)
        };
        let before = &self.received;
        let lost =
            share(now.audio_lost, before.audio_lost, now.audio_packets, before.audio_packets);
        let made_up = share(
            now.concealed,
            before.concealed,
            now.frames.saturating_sub(now.concealed),
            before.frames.saturating_sub(before.concealed),
        );
        // Loss comes in bursts: remembered for some seconds, and believed at once.
        let smooth = |old: f64, new: f64| if new > old { new } else { old + 0.2 * (new - old) };
        if let Some(lost) = lost {
            self.loss = smooth(self.loss, lost);
        }
        let without_aic = now.frames == before.frames;
        if let Some(missing) = made_up.or(lost.filter(|_| without_aic)) {
            self.missing = smooth(self.missing, missing);
        }
        self.received = now.clone();
    }

    /// Pictures on the wire since the last look, in kbit/s.
    fn video_kbps(&mut self, sent: &Flow, seconds: f64) -> f64 {
        let bytes = sent.bytes.saturating_sub(self.sent.bytes);
        let packets = sent.packets.saturating_sub(self.sent.packets);
        self.sent = sent.clone();
        ((bytes + packets * WIRE_OVERHEAD as u64) * 8) as f64 / 1000.0 / seconds
    }

    /// Pictures that pass take what the publisher makes of them.
    fn follow_feed(&mut self, source: &Source, video: &Video) {
        let passed = self.picture.as_ref().is_some_and(|p| !p.is_encoded());
        if !passed || *video != Video::Pass {
            return;
        }
        if let Some(bits) = source.rate() {
            self.ladder.set_wanted(bits);
        }
    }

    /// How much later a voice is heard there than it came in here: packing, coding and half of the
    /// round trip. What the other end's jitter buffer adds after losses is not in it.
    fn delay(&self, choice: Choice) -> Duration {
        let packing = match choice {
            // A frame of its own and what is waited for, and the 10 ms that the codec looks ahead.
            Choice::Aic { frames, .. } => Duration::from_millis(20 * frames as u64 + 10),
            Choice::Opus { .. } => Duration::from_micros(26_500),
        };
        packing + self.rtt.unwrap_or_default() / 2
    }
}

/// What Opus inside the packets of AIC-A counts as.
fn as_opus(choice: Choice) -> Choice {
    match choice {
        Choice::Aic { .. } => Choice::Opus { bitrate: 24_000 },
        opus @ Choice::Opus { .. } => opus,
    }
}

/// A decision in words.
fn rung(decision: Decision, form: Option<Form>) -> String {
    let sound = match (form, decision.sound) {
        (None, _) => "no sound".to_owned(),
        (Some(Form::Passed), _) => "Opus as it is".to_owned(),
        (_, Choice::Aic { stages, frames, redundant, .. }) => {
            let repeats = match redundant {
                0 => String::new(),
                n => format!(", {n} repeated"),
            };
            format!("AIC-A {} kbit/s, {} ms{repeats}", stages as f64 / 2.0, frames * 20)
        }
        (_, Choice::Opus { bitrate }) => format!("Opus {} kbit/s", bitrate / 1000),
    };
    match decision.level {
        Level::Off => sound,
        level => format!("{sound}, {}", level.word()),
    }
}
