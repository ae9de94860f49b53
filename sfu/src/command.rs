//! What shards and the tasks of viewers tell each other.

use tokio::sync::{mpsc, watch};

use super::Delivery;
use super::channel::ChannelCommand;
use super::error::Ended;
use super::id::SessionId;
use super::session::Session;
use super::source::Batch;
use super::{Channel, Credentials, Source};

/// When a track begins with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At once, with the pictures since its last key frame: what played before has ended.
    AtOnce,
    /// With its next key frame; what played before goes on until then.
    AtKeyFrame,
}

/// What a shard is asked to do.
pub(super) enum Command {
    /// Serves a session that is found by this user name fragment, and tells its events and figures.
    Open(SessionId, Box<Session>, String, mpsc::Sender<ConnectionEvent>, watch::Sender<Delivery>),
    /// The track with this index plays a source.
    Play(SessionId, usize, Source, Begin),
    /// What the best quality needs, in kbit/s: the estimate looks for that much.
    Desire(SessionId, u32),
    /// Begins an ICE generation with our and the viewer's credentials.
    Restart(SessionId, Credentials, Credentials),
    /// Ends a session.
    Close(SessionId),
}

/// What a shard tells about a session.
pub(super) enum ConnectionEvent {
    /// Media can flow.
    Connected,
    /// The viewer has opened a data channel.
    Opened(Channel),
    /// The session has ended.
    Ended(Ended),
}

/// The queues through which a shard is reached.
#[derive(Clone)]
pub(super) struct Queues {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) texts: mpsc::Sender<ChannelCommand>,
    pub(super) batches: mpsc::Sender<Batch>,
}
