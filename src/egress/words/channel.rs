//! Captions over a WHEP data channel.

use super::{Backlog, Reader, Selection};
use crate::flow::CaptionFeeds;
use crate::webrtc::{Channel, ChannelEvent};
use auralink_sfu as sfu;

/// A data channel for text, of a viewer with or without a pipeline of its own. Closed on drop.
pub(crate) trait TextChannel: Send {
    /// The label given by the viewer.
    fn label(&self) -> String;

    /// Sends a message; the message is lost if the channel cannot take it.
    fn send(&self, text: &str);

    /// Bytes that are queued for sending.
    fn backlog(&self) -> u64;

    /// Whether messages can be sent.
    fn is_open(&self) -> bool;

    /// Waits for the next event. Safe to cancel.
    fn event(&mut self) -> impl Future<Output = ChannelEvent> + Send;
}

impl TextChannel for Channel {
    fn label(&self) -> String {
        self.label()
    }

    fn send(&self, text: &str) {
        self.send(text);
    }

    fn backlog(&self) -> u64 {
        self.backlog()
    }

    fn is_open(&self) -> bool {
        self.is_open()
    }

    fn event(&mut self) -> impl Future<Output = ChannelEvent> + Send {
        self.event()
    }
}

impl TextChannel for sfu::Channel {
    fn label(&self) -> String {
        self.label().to_owned()
    }

    fn send(&self, text: &str) {
        self.send(text);
    }

    fn backlog(&self) -> u64 {
        self.backlog()
    }

    fn is_open(&self) -> bool {
        self.is_open()
    }

    async fn event(&mut self) -> ChannelEvent {
        match self.event().await {
            sfu::ChannelEvent::Message(text) => ChannelEvent::Message(text),
            sfu::ChannelEvent::Ready => ChannelEvent::Ready,
            sfu::ChannelEvent::Closed => ChannelEvent::Closed,
        }
    }
}

/// Bytes in the channel above which messages wait outside, where they can still be dropped.
const CHANNEL_BYTES_MAX: u64 = 16 << 10;

/// Committed cues of each language that a new viewer gets, so that its screen is not empty until
/// the next speech.
const RECENT_CUES: usize = 2;

/// Sends the captions of the caption feeds until the channel is closed. Each message is a
/// [`super::Message`]; the viewer may send `{"type":"select","languages":["es"]}`.
pub(crate) async fn serve(mut channel: impl TextChannel, caption_feeds: &CaptionFeeds) {
    let mut reader = Reader::new(caption_feeds, Selection::everything(), RECENT_CUES);
    let mut backlog = Backlog::default();
    loop {
        while channel.is_open() && channel.backlog() < CHANNEL_BYTES_MAX {
            let Some(message) = backlog.pop() else { break };
            channel.send(&message.to_json());
        }
        tokio::select! {
            next = reader.next() => match next {
                Some((feed, message)) => backlog.push(feed, message),
                None => return,
            },
            event = channel.event() => match event {
                ChannelEvent::Message(text) => {
                    if let Err(error) = reader.command(&text) {
                        tracing::debug!(error, "a viewer's message about captions is not understood");
                    }
                }
                ChannelEvent::Ready => {}
                ChannelEvent::Closed => return,
            },
        }
    }
}
