//! `/api/v1/streams/{name}/viewers`: who plays a stream by WebRTC.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::extract::Params;
use super::{ApiState, Code, Error, Failures};
use crate::media::{Protocol, StreamName};
use crate::webrtc::Session;

/// The viewers of one stream by WebRTC. Those by HLS, DASH and SRT are only counted, in `viewers` of the
/// stream.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ViewerList {
    /// The longest first.
    viewers: Vec<Viewer>,
}

/// One viewer. Figures are renewed every second; they are `null` before media flows, and where the
/// viewer has a pipeline of its own.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Viewer {
    /// Identifies it, here and in the log.
    id: String,
    /// `whep`.
    #[schema(value_type = String)]
    protocol: Protocol,
    /// Its address on the path of the media; before media flows that of its request.
    address: String,
    /// `udp` or `tcp`.
    transport: Option<&'static str>,
    /// What it says it is (`User-Agent`).
    agent: Option<String>,
    /// When it came.
    since: DateTime<Utc>,
    /// Codecs of its tracks.
    codecs: Vec<&'static str>,
    /// Bytes sent, with retransmissions.
    sent_bytes: Option<u64>,
    /// Rate of the bytes sent lately, in kbit/s.
    kbps: Option<f64>,
    /// What its line carries, as it is estimated where the stream has a ladder, in kbit/s.
    estimate_kbps: Option<f64>,
    /// Packets lost on its path, before retransmission.
    lost: Option<u64>,
    /// Share of packets lost lately, 0-1.
    loss: Option<f64>,
    /// Round-trip time in ms.
    rtt_ms: Option<f64>,
    /// Jitter of the arrival in ms.
    jitter_ms: Option<f64>,
}

impl Viewer {
    fn new(session: &Session) -> Self {
        // Before a path is chosen nothing is measured.
        let delivery = session.delivery();
        let path = delivery.and_then(|d| Some((d.address?, d)));
        let request = || session.client.address.clone();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            id: session.short_id().to_owned(),
            protocol: session.protocol,
            address: path.map_or_else(request, |(address, _)| address.to_string()),
            transport: path.map(|(_, d)| if d.is_tcp { "tcp" } else { "udp" }),
            agent: session.client.agent.clone(),
            since: session.since,
            codecs: session.codecs().iter().map(|codec| codec.as_str()).collect(),
            sent_bytes: path.map(|(_, d)| d.sent_bytes),
            kbps: path.map(|(_, d)| d.kbps),
            estimate_kbps: path.and_then(|(_, d)| d.estimate_kbps),
            lost: path.map(|(_, d)| d.lost),
            loss: path.and_then(|(_, d)| d.loss),
            rtt_ms: path.and_then(|(_, d)| d.round_trip).map(ms),
            jitter_ms: path.and_then(|(_, d)| d.jitter).map(ms),
        }
    }
}

/// Lists the viewers of a stream by WebRTC, with what reaches them.
#[utoipa::path(get, path = "/api/v1/streams/{name}/viewers", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = ViewerList), Failures))]
pub(super) async fn list_viewers(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<axum::Json<ViewerList>, Error> {
    // Refuses an unknown stream.
    state.supervisor().snapshot(&name).await?;
    let viewers = state.sessions.viewers();
    let viewers = viewers.iter().filter(|s| s.stream == name).map(|s| Viewer::new(s)).collect();
    Ok(axum::Json(ViewerList { viewers }))
}

/// Disconnects a viewer. It may come back; rotate the play token to prevent that.
#[utoipa::path(delete, path = "/api/v1/streams/{name}/viewers/{id}", tag = "streams",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 204), Failures))]
pub(super) async fn disconnect_viewer(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, String)>,
) -> Result<StatusCode, Error> {
    let viewers = state.sessions.viewers();
    let viewer = viewers.iter().find(|s| s.stream == name && s.short_id() == id);
    let viewer = viewer.ok_or_else(|| {
        let message = format!("stream `{name}` has no viewer `{id}`, or it has left");
        Error::new(Code::UnknownSession, message, "GET …/viewers lists them")
    })?;
    viewer.cancel.cancel();
    Ok(StatusCode::NO_CONTENT)
}
