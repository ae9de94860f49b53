//! Data channels, opened by us or by a peer.

use std::sync::Arc;

use gst::prelude::*;
use gst_webrtc::{WebRTCDataChannel, WebRTCDataChannelState, WebRTCPeerConnectionState};
use tokio::sync::{Notify, mpsc, watch};

/// Most channels that wait to be taken. Each costs elements: a peer that opens more is
/// disconnected.
const CHANNELS_MAX: usize = 4;

/// Longest message accepted from a peer, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Most messages that wait to be read; further ones are lost.
const MESSAGES_MAX: usize = 16;

/// Send backlog, in bytes, below which the channel reports room again.
const LOW_BACKLOG_BYTES: u64 = 4 << 10;

/// Whether data channels are installed.
pub(super) fn available() -> bool {
    ["sctpenc", "sctpdec"].iter().all(|name| gst::ElementFactory::find(name).is_some())
}

/// A data channel for text. Closed on drop.
pub(crate) struct Channel {
    inner: WebRTCDataChannel,
    messages: mpsc::Receiver<String>,
    changed: Arc<Notify>,
}

/// Events of a [`Channel`].
#[derive(Debug)]
pub(crate) enum ChannelEvent {
    /// A message of the peer.
    Message(String),
    /// It has opened, or has room to send again.
    Ready,
    /// It is closed.
    Closed,
}

/// Listens for channels that a peer opens.
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
    /// Follows a channel.
    pub(super) fn new(inner: WebRTCDataChannel) -> Self {
        let (tell, messages) = mpsc::channel(MESSAGES_MAX);
        inner.connect_on_message_string(move |_, text| {
            if let Some(text) = text.filter(|t| t.len() <= MESSAGE_BYTES_MAX) {
                let _ = tell.try_send(text.to_owned());
            }
        });
        let changed = Arc::new(Notify::new());
        inner.set_buffered_amount_low_threshold(LOW_BACKLOG_BYTES);
        let notify = Arc::clone(&changed);
        inner.connect_on_buffered_amount_low(move |_| notify.notify_one());
        let notify = Arc::clone(&changed);
        inner.connect_ready_state_notify(move |_| notify.notify_one());
        Self { inner, messages, changed }
    }

    /// Sends a message; the message is lost if the channel cannot take it.
    pub(crate) fn send(&self, text: &str) {
        if let Err(error) = self.inner.send_string_full(Some(text)) {
            tracing::debug!(%error, bytes = text.len(), "a message of a data channel is lost");
        }
    }

    /// The label given by the end that opened it.
    pub(crate) fn label(&self) -> String {
        self.inner.label().map(Into::into).unwrap_or_default()
    }

    /// Waits for the next event. Safe to cancel.
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

    /// Bytes that are queued for sending.
    pub(crate) fn backlog(&self) -> u64 {
        self.inner.buffered_amount()
    }

    /// Whether messages can be sent.
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
