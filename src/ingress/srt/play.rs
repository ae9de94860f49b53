//! A player connected to the listener.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::flow::{AccessRequest, Gate, Join, Status};
use crate::srt::{self, SendOutcome, Socket};

/// Sends the stream to a player until it leaves, is too slow, the subscription is cancelled, or `stop`.
pub(super) async fn run(
    gate: &dyn Gate,
    socket: Arc<Socket>,
    access_request: AccessRequest,
    stop: &CancellationToken,
) {
    let (stream, peer) = (access_request.stream.clone(), access_request.peer.clone());
    // The gate has logged the refusal; the peer sees the connection close.
    let Ok(subscription) = gate.play(access_request, srt::accepts()).await else { return };
    tracing::info!(%stream, %peer, "SRT player connected");
    let leave = subscription.cancel.child_token();
    let (inputs, status) = (subscription.inputs.clone(), Status::default());
    // Players start with a key frame at once, and stay at the live edge.
    let work = srt::send("srt-player", socket, inputs, Join::FastForward, &leave, &status);
    tokio::pin!(work);
    let result = tokio::select! {
        result = &mut work => result,
        () = stop.cancelled() => {
            leave.cancel();
            work.await
        }
    };
    match result {
        Ok(SendOutcome::Cancelled) => {
            tracing::info!(%stream, %peer, "SRT player disconnected by us")
        }
        // Few players support a change of codecs within a connection, but all can reconnect.
        Ok(SendOutcome::TracksChanged) => {
            tracing::info!(%stream, %peer, "SRT player sent to reconnect")
        }
        Err(error) => tracing::info!(%stream, %peer, %error, "SRT player gone"),
    }
}
