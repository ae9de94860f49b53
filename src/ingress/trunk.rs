//! The receiving end of a trunk: the messages of its data channel in both directions.
//!
//! The media of a trunk arrives as from any WHIP publisher.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

use super::received_captions::ReceivedCaptions;
use crate::flow::{CaptionFeeds, SourceReport};
use crate::media::Kind;
use crate::webrtc::stats::{Connection, RtpStats};
use crate::webrtc::trunk::{LABEL, Message, Receiving};
use crate::webrtc::{Channel, ChannelEvent, Peer};

/// State of a publisher's connection that is reported to the other end of a trunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReceiverStatus {
    /// Reception figures.
    pub(super) receiving: Receiving,
    /// Why AIC-A cannot be decoded. `None` if it can.
    pub(super) aic_broken: Option<String>,
}

impl ReceiverStatus {
    /// Sums up the sources of each kind; `kind` maps an SSRC to its kind.
    pub(super) fn read(&mut self, found: &Connection, kind: impl Fn(u32) -> Option<Kind>) {
        let add = |(packets, lost, jitter): (u64, u64, Duration), flow: &RtpStats| {
            (packets + flow.packets, lost + flow.lost, jitter.max(flow.jitter))
        };
        let sum = |wanted: Kind| {
            let flows = found.inbound.iter().filter(|f| kind(f.ssrc) == Some(wanted));
            flows.fold((0, 0, Duration::ZERO), add)
        };
        let (packets, lost, jitter) = sum(Kind::Audio);
        let to = &mut self.receiving;
        (to.audio_packets, to.audio_lost) = (packets, lost);
        to.jitter_ms = (jitter.as_secs_f64() * 10_000.0).round() / 10.0;
        (to.video_packets, to.video_lost, _) = sum(Kind::Video);
    }
}

/// Serves each trunk channel that the publisher opens, one after the other.
pub(super) async fn serve(
    peer: &Peer,
    caption_feeds: &CaptionFeeds,
    report: &SourceReport,
    heard: watch::Receiver<ReceiverStatus>,
) -> Infallible {
    loop {
        let channel = peer.channel().await;
        if channel.label() == LABEL {
            report.status.set("trunk", true);
            let mut end = End { captions: ReceivedCaptions::new(caption_feeds), report };
            end.serve(channel, heard.clone()).await;
            drop(end);
            report.set_no_video(false);
        }
    }
}

struct End<'a> {
    captions: ReceivedCaptions<'a>,
    report: &'a SourceReport,
}

impl End<'_> {
    async fn serve(&mut self, mut channel: Channel, mut heard: watch::Receiver<ReceiverStatus>) {
        let mut told = None;
        loop {
            tokio::select! {
                event = channel.event() => match event {
                    ChannelEvent::Message(text) => match Message::read(&text) {
                        Ok(message) => self.take(message),
                        Err(error) => tracing::debug!(error, "a message of a trunk is not understood"),
                    },
                    ChannelEvent::Ready => {}
                    ChannelEvent::Closed => return,
                },
                changed = heard.changed() => if changed.is_err() {
                    return;
                },
            }
            if channel.is_open() {
                let now = heard.borrow_and_update().clone();
                tell(&channel, told.as_ref(), &now);
                told = Some(now);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Languages { tags } => self.captions.put_up(&tags),
            Message::Cue(cue) => self.captions.publish(cue),
            Message::Sending(sending) => {
                self.report.set_no_video(sending.no_video);
                let status = &self.report.status;
                status.set("codec", sending.codec);
                status.set("rung", sending.rung);
                status.set("audio_kbps", sending.audio_kbps);
                if let Some(quality) = sending.quality {
                    status.set("quality", quality);
                }
                if let Some(rtt_ms) = sending.rtt_ms {
                    status.set("rtt_ms", rtt_ms);
                }
            }
            // Only a receiver sends these.
            Message::Receiving(_) | Message::AicUnavailable { .. } | Message::AicAvailable => {}
        }
    }
}

/// Sends the changes to the other end.
fn tell(channel: &Channel, before: Option<&ReceiverStatus>, now: &ReceiverStatus) {
    if before.map(|b| &b.aic_broken) != Some(&now.aic_broken) {
        let message = match &now.aic_broken {
            Some(reason) => Message::AicUnavailable { reason: reason.clone() },
            None => Message::AicAvailable,
        };
        channel.send(&message.write());
    }
    if before.map(|b| &b.receiving) != Some(&now.receiving) {
        channel.send(&Message::Receiving(now.receiving.clone()).write());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_summed_by_what_they_carry() {
        let flow = |ssrc, packets, lost| RtpStats {
            ssrc,
            packets,
            lost,
            jitter: Duration::from_micros(1260),
            ..RtpStats::default()
        };
        let inbound = vec![flow(1, 100, 3), flow(2, 900, 7), flow(3, 50, 0), flow(9, 1, 1)];
        let found = Connection { inbound, ..Connection::default() };
        let kind = |ssrc| match ssrc {
            1 => Some(Kind::Audio),
            2 | 3 => Some(Kind::Video),
            _ => None,
        };
        let mut heard = ReceiverStatus::default();
        heard.read(&found, kind);
        let Receiving { audio_packets, audio_lost, video_packets, video_lost, jitter_ms, .. } =
            heard.receiving;
        assert_eq!((audio_packets, audio_lost), (100, 3));
        assert_eq!((video_packets, video_lost), (950, 7));
        assert!((jitter_ms - 1.3).abs() < 1e-9, "{jitter_ms}");
    }
}
