//! Captions over a data channel of WHEP.

use super::{Backlog, Reader, Selection};
use crate::flow::CueBoard;
use crate::webrtc::{Channel, ChannelEvent};

/// Bytes that may lie in the channel before messages wait outside, where they can still be dropped.
const IN_CHANNEL_MAX: u64 = 16 << 10;

/// Committed cues of each language that a viewer gets when it comes, so that its screen is not
/// empty until somebody speaks.
const RECENT: usize = 2;

/// Sends the captions of a board until the channel is closed. Each message is one of
/// [`super::Message`]; the viewer may send `{"type":"select","languages":["es"]}`.
pub(crate) async fn serve(mut channel: Channel, board: &CueBoard) {
    let mut reader = Reader::new(board, Selection::everything(), RECENT);
    let mut backlog = Backlog::default();
    loop {
        while channel.is_open() && channel.backlog() < IN_CHANNEL_MAX {
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
