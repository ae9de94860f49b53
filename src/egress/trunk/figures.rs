//! Figures of a running trunk, for the local API, the other end, and the next decision.

use std::time::{Duration, Instant};

use super::Video;
use super::audio::Form;
use super::exchange::RemoteStatus;
use super::ladder::{Decision, Level};
use super::links::{Links, Source};
use super::sender::{SenderState, TrunkSender};
use crate::aic::controller::Choice;
use crate::aic::predict::SentFrames;
use crate::aic::quality;
use crate::media::Kind;
use crate::webrtc::stats::{Connection, RtpStats};
use crate::webrtc::trunk::{Receiving, Sending};

/// Minimum number of packets for a loss share.
const LOSS_PACKETS_MIN: u64 = 10;

impl TrunkSender<'_> {
    /// Updates the figures, for the local API and the other end.
    pub(super) fn figures(
        &self,
        links: &Links,
        sender: &mut SenderState,
        found: &Connection,
        told: &RemoteStatus,
    ) -> Sending {
        let now = Instant::now();
        let seconds = now.saturating_duration_since(sender.figures_at).as_secs_f64().max(0.1);
        sender.figures_at = now;
        sender.rtt = found.round_trip.or(sender.rtt);
        sender.follow_losses(found, told);
        let set = |name, value: f64| self.task.status.set(name, (value * 100.0).round() / 100.0);
        let mut sending = Sending::default();
        let (mut audio_kbps, mut all) = (0.0, SentFrames::default());
        if let (Some(audio), Some(decision)) = (&sender.audio, sender.decision) {
            let read = audio.packet_counter.read();
            let last = read.since(sender.read);
            sender.read = read;
            let choice = if last.aic > 0 { decision.voice } else { decision.opus() };
            if audio.form == Form::Aic && last.aic == last.sent.packets {
                sender.predictor.observe(choice, last.sent);
            }
            audio_kbps = last.sent.wire() / 1000.0 / seconds;
            all = last.sent;
            let opus_kbps = last.sent.in_opus() / 1000.0 / seconds;
            set("audio_kbps", audio_kbps);
            set("audio_in_opus_kbps", opus_kbps);
            if opus_kbps > 0.0 {
                set("saved_percent", (1.0 - audio_kbps / opus_kbps) * 100.0);
            }
            if last.aic > 0 {
                self.task.status.set("aic_failed", serde_json::Value::Null);
            }
            let codec = if last.aic * 2 > last.sent.packets { "aic" } else { "opus" };
            sending.codec = codec.into();
            self.task.status.set("codec", codec);
            sending.quality = Some(quality::estimate(choice, sender.missing, sender.delay(choice)));
            sending.rung = decision.words(Some(audio.form));
            self.task.status.set("rung", sending.rung.clone());
        }
        sending.no_video = sender.decision.is_some_and(|d| d.level == Level::Off);
        sending.audio_kbps = (audio_kbps * 10.0).round() / 10.0;
        sending.rtt_ms = sender.rtt.map(|rtt| (rtt.as_secs_f64() * 10_000.0).round() / 10.0);
        if let Some((source, _, track)) = links.of(Kind::Video) {
            let sent = found.sent(track.ssrc);
            let video = sender.video_sent(&sent);
            set("video_kbps", video.wire() / 1000.0 / seconds);
            sender.follow_feed(source, &self.trunk.settings.video);
            (all.packets, all.bytes) = (all.packets + video.packets, all.bytes + video.bytes);
        }
        sender.sending = all.wire() / seconds;
        if all.bytes > 0 {
            // During pauses packets are almost only headers; pauses are short, so the value is
            // smoothed.
            let now = all.wire() / (all.bytes * 8) as f64;
            let before = if sender.overhead > 1.0 { sender.overhead } else { now };
            sender.overhead = before + 0.2 * (now - before);
        }
        self.show(sender, found, &sending);
        sending
    }

    fn show(&self, sender: &SenderState, found: &Connection, sending: &Sending) {
        let set = |name, value: f64| self.task.status.set(name, (value * 1000.0).round() / 1000.0);
        set("loss", sender.loss);
        set("missing", sender.missing);
        if let Some(bandwidth) = sender.path_monitor.bandwidth() {
            set("bandwidth_kbps", bandwidth * sender.overhead / 1000.0);
            set("queue_ms", sender.path_monitor.arrived().queue.as_secs_f64() * 1000.0);
        }
        if let Some(rtt) = sender.rtt {
            set("rtt_ms", rtt.as_secs_f64() * 1000.0);
        }
        if let Some(quality) = sending.quality {
            set("quality", quality);
        }
        if let Some(decision) = sender.decision {
            let age = sender.audio.as_ref().map(|_| sender.delay(decision.audio()));
            set("latency_ms", age.unwrap_or_default().as_secs_f64() * 1000.0);
            self.task.status.set("pictures", decision.level.word());
        }
        for (name, value) in [
            ("predicted_ratio", sender.predictor.predicted()),
            ("actual_ratio", sender.predictor.actual()),
            ("prediction_error", sender.predictor.error()),
        ] {
            if let Some(value) = value.filter(|_| sending.codec == "aic") {
                set(name, value);
            }
        }
        let packets: u64 = found.outbound.iter().map(|flow| flow.packets).sum();
        self.task.status.set("packets_sent", packets);
    }
}

impl SenderState {
    /// Losses reported by the other end: on the data channel, or by RTCP.
    fn follow_losses(&mut self, found: &Connection, told: &RemoteStatus) {
        let Some(now) = &told.receiving else {
            self.loss = found.remote_loss.unwrap_or(0.0);
            self.missing = self.loss;
            return;
        };
        // Losses before the first report occurred while the connection was established.
        if *now == self.received || self.received == Receiving::default() {
            self.received = now.clone();
            return;
        }
        let share = |part: u64, part_before: u64, rest: u64, rest_before: u64| {
            let (part, rest) = (part.saturating_sub(part_before), rest.saturating_sub(rest_before));
            // Saturating, because the other end may report any value.
            let all = part.saturating_add(rest);
            (all >= LOSS_PACKETS_MIN).then(|| part as f64 / all as f64)
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
        // Loss comes in bursts: an increase counts at once, a decrease is smoothed.
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

    /// Video packets and bytes sent since the last call.
    fn video_sent(&mut self, sent: &RtpStats) -> SentFrames {
        // The counters of a source restart from zero after a long silence.
        let again = sent.packets < self.sent.packets;
        let before = if again { RtpStats::default() } else { std::mem::take(&mut self.sent) };
        let bytes = sent.bytes.saturating_sub(before.bytes);
        let packets = sent.packets.saturating_sub(before.packets);
        self.sent = sent.clone();
        SentFrames { frames: 0, packets, bytes }
    }

    /// For passed-through video, follows the bit rate of the publisher.
    fn follow_feed(&mut self, source: &Source, video: &Video) {
        let passed = self.video.as_ref().is_some_and(|p| !p.is_encoded());
        if !passed || *video != Video::Pass {
            return;
        }
        if let Some(bits) = source.rate() {
            self.ladder.set_wanted(bits);
        }
    }

    /// Delay of voice from its arrival here to playback at the other end: packing, coding and half
    /// the round trip. The jitter buffer of the other end is not included.
    fn delay(&self, choice: Choice) -> Duration {
        let packing = match choice {
            // Packing time of all frames, plus the delay of either codec.
            Choice::Aic { frames, .. } | Choice::Opus { frames, .. } => {
                Duration::from_micros(20_000 * frames as u64 + 6_500)
            }
        };
        packing + self.rtt.unwrap_or_default() / 2
    }
}

impl Decision {
    /// Its Opus choice, used where AIC-A is not.
    pub(super) fn opus(self) -> Choice {
        match self.voice {
            Choice::Aic { .. } => self.other,
            opus @ Choice::Opus { .. } => opus,
        }
    }

    /// Description for the admin; `form` is that of the audio, if there is any.
    pub(super) fn words(self, form: Option<Form>) -> String {
        let audio = match (form, self.audio()) {
            (None, _) => "no sound".to_owned(),
            (_, choice @ Choice::Aic { frames, redundant, .. }) => {
                let repeats = match redundant {
                    0 => String::new(),
                    n => format!(", {n} repeated"),
                };
                format!("AIC-A {:.1} kbit/s, {} ms{repeats}", choice.payload() / 1e3, frames * 20)
            }
            (_, Choice::Opus { bitrate, frames: 1 }) => format!("Opus {} kbit/s", bitrate / 1000),
            (_, Choice::Opus { bitrate, frames }) => {
                format!("Opus {} kbit/s, {} ms", bitrate / 1000, frames * 20)
            }
        };
        match self.level {
            Level::Off => audio,
            level => format!("{audio}, {}", level.word()),
        }
    }
}
