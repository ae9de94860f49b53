//! Requests to the task of a stream.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::StreamSnapshot;
use super::fault::Fault;
use crate::egress::segments::SegmentStore;
use crate::flow::{
    AccessRequest, CaptionFeeds, CueFeed, Intake, Refusal, SourceReport, Subscription,
};
use crate::media::{Accepts, Protocol};

/// Commands that may wait for a stream. A full queue refuses publishers and viewers; other callers
/// wait.
pub(super) const COMMANDS_MAX: usize = 256;

/// Requests to a stream. Replies to callers that have left are dropped.
pub(super) enum Command {
    /// A publisher asks for admission.
    Publish {
        access_request: AccessRequest,
        report: Arc<SourceReport>,
        reply: oneshot::Sender<Result<Intake, Refusal>>,
    },
    /// A viewer asks for admission.
    Play {
        protocol: Protocol,
        accepts: Accepts,
        reply: oneshot::Sender<Result<Subscription, Refusal>>,
    },
    /// A player requests segments.
    OpenSegments { protocol: Protocol, reply: oneshot::Sender<Result<Arc<SegmentStore>, Refusal>> },
    /// A node's run has ended.
    Exited { worker: String, run: u64, outcome: Result<(), Fault> },
    /// Returns the current caption feeds.
    Cues(oneshot::Sender<Vec<CueFeed>>),
    /// Returns the caption feeds, to follow future feeds too.
    CaptionFeeds(oneshot::Sender<CaptionFeeds>),
    /// The admin disconnects the publisher on air.
    Kick(oneshot::Sender<()>),
    /// Returns the snapshot.
    Snapshot(oneshot::Sender<StreamSnapshot>),
    /// Returns the graph in Graphviz format.
    Dot(oneshot::Sender<String>),
    /// Finish everything and end.
    Stop(oneshot::Sender<()>),
    /// Panic, to test a fault in the stream's own code.
    #[cfg(test)]
    Panic,
}
