//! Data channels, ours and those that a peer opens.

use std::sync::Arc;

use gst::prelude::*;
use gst_webrtc::{WebRTCDataChannel, WebRTCDataChannelState, WebRTCPeerConnectionState};
use tokio::sync::{Notify, mpsc, watch};

/// Channels that may wait to be taken. Each costs elements of ours: a peer that opens more is
/// disconnected.
const CHANNELS_MAX: usize = 4;

/// Longest message taken from a peer, in bytes.
const MESSAGE_MAX: usize = 4 << 10;

/// Messages that wait to be read; more are lost.
const MESSAGES_MAX: usize = 16;

/// What may wait to be sent before it is told that there is room again, in bytes.
const BACKLOG_LOW: u64 = 4 << 10;

/// Whether data channels are installed.
pub(super) fn available() -> bool {
    ["sctpenc", "sctpdec"].iter().all(|name| gst::ElementFactory::find(name).is_some())
}

/// One data channel for text. It is closed when dropped.
pub(crate) struct Channel {
    inner: WebRTCDataChannel,
    messages: mpsc::Receiver<String>,
    changed: Arc<Notify>,
}

/// What happens on a [`Channel`].
#[derive(Debug)]
pub(crate) enum ChannelEvent {
    /// The peer says something.
    Message(String),
    /// It has opened, or there is room to send again.
    Ready,
    /// It is closed.
    Closed,
}

/// Listens for the channels that a peer opens.
pub(super) fn listen(
    bin: &gst::Element,
    connection: &Arc<watch::Sender<WebRTCPeerConnectionState>>,
) -> mpsc::Receiver<Channel> {
    let (tell, found) = mpsc::channel(CHANNELS_MAX);
    let connection = Arc::clone(connection);
    bin.connect("on-data-channel", false, move |values| {
        let channel = values.get(1)?.get::<WebRTCDataChannel>().ok()?;
        if tell.try_send(Channel::new(channel)).is_err() {
            connection.send_replace(WebRTCPeerConnectionState::Closed);
        }
        None
    });
    found
}

impl Channel {
    /// Follows a channel from now on.
    pub(super) fn new(inner: WebRTCDataChannel) -> Self {
        let (tell, messages) = mpsc::channel(MESSAGES_MAX);
        inner.connect_on_message_string(move |_, text| {
            if let Some(text) = text.filter(|t| t.len() <= MESSAGE_MAX) {
                let _ = tell.try_send(text.to_owned());
            }
        });
        let changed = Arc::new(Notify::new());
        inner.set_buffered_amount_low_threshold(BACKLOG_LOW);
        let notify = Arc::clone(&changed);
        inner.connect_on_buffered_amount_low(move |_| notify.notify_one());
        let notify = Arc::clone(&changed);
        inner.connect_ready_state_notify(move |_| notify.notify_one());
        Self { inner, messages, changed }
    }

    /// Sends a message, or loses it when the channel cannot take it.
    pub(crate) fn send(&self, text: &str) {
        if let Err(error) = self.inner.send_string_full(Some(text)) {
            tracing::debug!(%error, bytes = text.len(), "a message of a data channel is lost");
        }
    }

    /// What whoever opened it called it.
    pub(crate) fn label(&self) -> String {
        self.inner.label().map(Into::into).unwrap_or_default()
    }

    /// Waits for what happens next. Safe to cancel.
    pub(crate) async fn event(&mut self) -> ChannelEvent {
        if self.is_closed() {
            return ChannelEvent::Closed;
        }
        tokio::select! {
            message = self.messages.recv() => {
                message.map_or(ChannelEvent::Closed, ChannelEvent::Message)
            }
            () = self.changed.notified() => match self.is_closed() {
                true => ChannelEvent::Closed,
                false => ChannelEvent::Ready,
            },
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn backlog(&self) -> u64 {
        self.inner.buffered_amount()
    }

    /// Whether messages can go out.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.ready_state() == WebRTCDataChannelState::Open
    }

    fn is_closed(&self) -> bool {
        use WebRTCDataChannelState::{Closed, Closing};
        matches!(self.inner.ready_state(), Closing | Closed)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if self.is_open() {
            self.inner.close();
        }
    }
}
