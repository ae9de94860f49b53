//! Captions over a WHEP data channel.

use super::{Backlog, Reader, Selection};
use crate::flow::CaptionFeeds;
use crate::webrtc::{Channel, ChannelEvent};

/// Bytes in the channel above which messages wait outside, where they can still be dropped.
const CHANNEL_BYTES_MAX: u64 = 16 << 10;

/// Committed cues of each language that a new viewer gets, so that its screen is not empty until
/// the next speech.
const RECENT_CUES: usize = 2;

/// Sends the captions of the caption feeds until the channel is closed. Each message is a
/// [`super::Message`]; the viewer may send `{"type":"select","languages":["es"]}`.
pub(crate) async fn serve(mut channel: Channel, caption_feeds: &CaptionFeeds) {
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
