//! The sending end of the data channel: sends captions and receives the other end's reports.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::flow::{CaptionFeeds, CaptionFeedsReader, CueFeed};
use crate::media::{Cue, Language};
use crate::webrtc::trunk::{Message, Receiving, Sending, SentCue};
use crate::webrtc::{Channel, ChannelEvent};

/// Bytes in the channel above which messages wait outside, where they can still be dropped.
const CHANNEL_BYTES_MAX: u64 = 16 << 10;

/// Maximum number of cues that wait for room; beyond it the oldest is dropped.
const WAITING_CUES_MAX: usize = 64;

/// A path without video and with less audio than this is thin.
const THIN_KBPS: f64 = 64.0;
/// How often figures for the other end's page are sent on a thin path unless something changes:
/// each message takes as much as a voice packet.
const RARE_INTERVAL: Duration = Duration::from_secs(5);

/// State reported by the other end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RemoteStatus {
    /// Its reception figures. `None` until the first report; servers of other makes never send one.
    pub(super) receiving: Option<Receiving>,
    /// Why it cannot decode AIC-A. `None` if it can.
    pub(super) aic_broken: Option<String>,
    /// Number of its failures.
    pub(super) failures: u64,
}

/// Runs until the channel is closed; without one it waits forever.
pub(super) async fn exchange(
    channel: Option<Channel>,
    caption_feeds: &CaptionFeeds,
    mut sending: watch::Receiver<Sending>,
    told: &watch::Sender<RemoteStatus>,
) {
    let Some(mut channel) = channel else { return std::future::pending().await };
    let mut cues = Cues::new(caption_feeds);
    let mut said: Option<(Sending, Instant)> = None;
    loop {
        if channel.is_open() {
            cues.send(&channel);
        }
        tokio::select! {
            () = cues.next() => {}
            changed = sending.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = sending.borrow_and_update().clone();
                let may = channel.is_open() && channel.backlog() < CHANNEL_BYTES_MAX;
                if may && said.as_ref().is_none_or(|(last, at)| is_due(&now, last, at.elapsed())) {
                    channel.send(&Message::Sending(now.clone()).write());
                    said = Some((now, Instant::now()));
                }
            }
            event = channel.event() => match event {
                ChannelEvent::Message(text) => match Message::read(&text) {
                    Ok(message) => hear(message, told),
                    Err(error) => tracing::debug!(error, "a message of a trunk is not understood"),
                },
                ChannelEvent::Ready => {}
                ChannelEvent::Closed => return std::future::pending().await,
            },
        }
    }
}

/// Whether these figures must be sent, `after` the last ones.
fn is_due(now: &Sending, last: &Sending, after: Duration) -> bool {
    let thin = now.no_video && now.audio_kbps < THIN_KBPS;
    !thin || after >= RARE_INTERVAL || now.codec != last.codec || now.no_video != last.no_video
}

fn hear(message: Message, told: &watch::Sender<RemoteStatus>) {
    match message {
        Message::Receiving(receiving) => told.send_modify(|t| t.receiving = Some(receiving)),
        Message::AicUnavailable { reason } => told.send_modify(|t| {
            // An engine that is still starting has not failed: it is awaited without a back-off.
            t.failures += u64::from(!reason.starts_with("starting"));
            t.aic_broken = Some(reason);
        }),
        Message::AicAvailable => told.send_modify(|t| t.aic_broken = None),
        // Only a sender sends these.
        Message::Languages { .. } | Message::Cue(_) | Message::Sending(_) => {}
    }
}

/// Outgoing captions.
struct Cues {
    caption_feeds: watch::Receiver<Vec<CueFeed>>,
    reader: CaptionFeedsReader,
    /// The languages that were sent to the other end.
    known: Option<Vec<Language>>,
    waiting: VecDeque<(CueFeed, Cue)>,
}

impl Cues {
    fn new(caption_feeds: &CaptionFeeds) -> Self {
        let reader = caption_feeds.read();
        Self {
            caption_feeds: caption_feeds.subscribe(),
            reader,
            known: None,
            waiting: VecDeque::new(),
        }
    }

    /// Waits for something to send. Cancel safe.
    async fn next(&mut self) {
        tokio::select! {
            changed = self.caption_feeds.changed() => if changed.is_err() {
                // The stream is gone; the trunk ends soon too.
                std::future::pending::<()>().await;
            },
            (feed, cue) = self.reader.next() => {
                if self.waiting.len() >= WAITING_CUES_MAX {
                    self.waiting.pop_front();
                }
                self.waiting.push_back((feed, cue));
            }
        }
    }

    fn send(&mut self, channel: &Channel) {
        let tags: Vec<Language> =
            self.caption_feeds.borrow_and_update().iter().map(|f| f.language().clone()).collect();
        let nothing_yet = self.known.is_none() && tags.is_empty();
        if !nothing_yet && self.known.as_ref() != Some(&tags) {
            self.reader.follow();
            channel.send(&Message::Languages { tags: tags.clone() }.write());
            self.known = Some(tags);
        }
        while channel.backlog() < CHANNEL_BYTES_MAX {
            let Some((feed, cue)) = self.waiting.pop_front() else { break };
            channel.send(&Message::Cue(SentCue::new(feed.language(), &cue)).write());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rare_on_a_thin_path() {
        let sending = |codec: &str, audio_kbps, no_video| Sending {
            codec: codec.into(),
            audio_kbps,
            no_video,
            ..Sending::default()
        };
        let voice = sending("aic", 10.0, true);
        let second = Duration::from_secs(1);
        assert!(!is_due(&voice, &voice, second));
        assert!(is_due(&voice, &voice, RARE_INTERVAL));
        assert!(is_due(&sending("opus", 20.0, true), &voice, second), "another codec");
        assert!(is_due(&sending("aic", 10.0, false), &voice, second), "pictures");
        let wide = sending("opus", 150.0, true);
        assert!(is_due(&wide, &wide, second));
    }
}
