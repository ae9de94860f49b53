//! Data channels that a viewer opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};

use super::id::SessionId;

/// Longest message accepted from a viewer, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Most messages that wait to be read; further ones are lost.
pub(super) const MESSAGES_MAX: usize = 16;

/// State of a data channel, shared by its session and its user.
#[derive(Debug, Default)]
pub(super) struct ChannelState {
    pub(super) is_closed: AtomicBool,
    /// Bytes on the way to the session.
    pub(super) handed: AtomicU64,
    /// Bytes in the session that are not sent yet.
    pub(super) buffered: AtomicU64,
    pub(super) changed: Notify,
}

/// What a session is asked to do with a data channel, by its number.
pub(super) enum ChannelCommand {
    /// Sends a text.
    Text(SessionId, usize, String),
    /// Closes the channel.
    Close(SessionId, usize),
}

/// A data channel for text. Closed on drop.
pub struct Channel {
    pub(super) session: SessionId,
    /// Number of the channel in its session.
    pub(super) number: usize,
    pub(super) label: String,
    pub(super) commands: mpsc::Sender<ChannelCommand>,
    pub(super) messages: mpsc::Receiver<String>,
    pub(super) state: Arc<ChannelState>,
}

/// Events of a [`Channel`].
#[derive(Debug)]
pub enum ChannelEvent {
    /// A message of the viewer.
    Message(String),
    /// It has room to send again.
    Ready,
    /// It is closed.
    Closed,
}

impl Channel {
    /// Sends a message; the message is lost if the session cannot take it.
    pub fn send(&self, text: &str) {
        let bytes = text.len() as u64;
        let command = ChannelCommand::Text(self.session, self.number, text.to_owned());
        self.state.handed.fetch_add(bytes, Ordering::Relaxed);
        if self.commands.try_send(command).is_err() {
            self.state.handed.fetch_sub(bytes, Ordering::Relaxed);
            tracing::debug!(bytes, "a message of a data channel is lost");
        }
    }

    /// The label given by the viewer.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Bytes that are queued for sending.
    pub fn backlog(&self) -> u64 {
        self.state.handed.load(Ordering::Relaxed) + self.state.buffered.load(Ordering::Relaxed)
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        !self.state.is_closed.load(Ordering::Relaxed)
    }

    /// Waits for the next event. Safe to cancel.
    pub async fn event(&mut self) -> ChannelEvent {
        if !self.is_open() {
            return ChannelEvent::Closed;
        }
        tokio::select! {
            message = self.messages.recv() => {
                message.map_or(ChannelEvent::Closed, ChannelEvent::Message)
            }
            () = self.state.changed.notified() => match self.is_open() {
                true => ChannelEvent::Ready,
                false => ChannelEvent::Closed,
            },
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // A session that is too busy to hear of it ends soon, and its channels with it.
        let _ = self.commands.try_send(ChannelCommand::Close(self.session, self.number));
    }
}
