//! Viewers as their stream sees them.

use std::time::Instant;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::flow::{Inputs, Refusal, Subscription};
use crate::graph::Route;
use crate::media::{Accepts, Protocol};

/// A viewer with its feeds.
pub(super) struct ViewerState {
    pub(super) protocol: Protocol,
    /// Its name in the plan.
    pub(super) want: String,
    pub(super) accepts: Accepts,
    pub(super) cancel: CancellationToken,
    pub(super) route: Route,
    pub(super) inputs: watch::Sender<Inputs>,
}

/// A viewer that waits until the tracks are known.
pub(super) struct PendingViewer {
    pub(super) protocol: Protocol,
    pub(super) accepts: Accepts,
    pub(super) reply: oneshot::Sender<Result<Subscription, Refusal>>,
    pub(super) since: Instant,
}
