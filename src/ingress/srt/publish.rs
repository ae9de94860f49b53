//! A publisher connected to the listener.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::flow::{AccessRequest, Gate, SourceReport};
use crate::ingress::unusable::unusable;
use crate::media::Protocol;
use crate::mpegts::Limits;
use crate::srt::{self, Socket};

/// Advice for publishers.
const PLEASE_SEND: &str =
    "send MPEG-TS (`-f mpegts` of ffmpeg), and a file at its own pace (`-re`)";

/// Receives a publisher's media until it leaves, the intake is cancelled, or `stop`.
pub(super) async fn run(
    gate: &dyn Gate,
    socket: Arc<Socket>,
    access_request: AccessRequest,
    limits: Limits,
    stop: &CancellationToken,
) {
    let (stream, peer) = (access_request.stream.clone(), access_request.peer.clone());
    let (report, since) = (Arc::new(SourceReport::new(Protocol::Srt, &peer)), Instant::now());
    // The gate has logged the refusal; the peer sees the connection close.
    let Ok(intake) = gate.publish(access_request.clone(), report).await else { return };
    let version = socket.peer_version();
    tracing::info!(%stream, %peer, version, "SRT publisher connected");
    let leave = intake.cancel.child_token();
    let work = srt::receive("srt", socket, &intake.tracks, limits, &leave);
    tokio::pin!(work);
    let result = tokio::select! {
        result = &mut work => result,
        () = stop.cancelled() => {
            leave.cancel();
            work.await
        }
    };
    match result {
        Ok(()) => tracing::info!(%stream, %peer, "SRT publisher disconnected by us"),
        Err(error) => {
            tracing::info!(%stream, %peer, %error, "SRT publisher gone");
            if let Some(refusal) = unusable(&error, &intake.tracks, since.elapsed(), PLEASE_SEND) {
                gate.report_refusal(&access_request, &refusal);
            }
        }
    }
}
