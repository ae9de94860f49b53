//! `/api/v1/cluster`: the appliances that share streams, and what they ask each other.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;

use super::extract::Params;
use super::health::{DISK_TIMEOUT, starting};
use super::{ApiState, Code, Error, Failures};
use crate::cluster::{ApplianceLoad, StreamAccess};
use crate::flow::files;
use crate::media::{Protocol, StreamName};
use crate::runtime::{StreamSnapshot, StreamState, Wanted};
use crate::telemetry::Host;

/// The appliances that this one knows, and which stream comes from where.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ClusterView {
    /// This appliance first, then its origins in the order of the configuration.
    appliances: Vec<ClusterAppliance>,
    /// Streams that this appliance has from an origin.
    streams: Vec<ClusterStream>,
}

/// One appliance.
#[derive(Serialize, utoipa::ToSchema)]
struct ClusterAppliance {
    /// Base URL of an origin; `null` for this appliance.
    url: Option<String>,
    /// Whether it answers now, and takes the token of the cluster.
    reachable: bool,
    /// Why it does not, as text.
    problem: Option<String>,
    /// Its load; `null` if it does not answer.
    load: Option<ApplianceLoad>,
}

impl ClusterAppliance {
    fn of_origin((url, load): (String, Result<ApplianceLoad, String>)) -> Self {
        let (load, problem) = match load {
            Ok(load) => (Some(load), None),
            Err(problem) => (None, Some(problem)),
        };
        Self { url: Some(url), reachable: load.is_some(), problem, load }
    }
}

/// A stream that comes from an origin.
#[derive(Serialize, utoipa::ToSchema)]
struct ClusterStream {
    /// Name of the stream.
    stream: String,
    /// Base URL of the origin that is pulled; `null` while there is none, as on the slate.
    origin: Option<String>,
    /// What viewers see here: `slate` while the origin is gone.
    state: StreamState,
    /// Viewers here.
    viewers: u64,
}

/// Where a stream comes from, if it has been connected to an origin.
fn origin_of(stream: &StreamSnapshot) -> Option<String> {
    let facts = stream.nodes.iter().find_map(|node| node.facts.get("origin"));
    facts.and_then(|origin| origin.as_str()).map(str::to_owned)
}

fn viewers_of(stream: &StreamSnapshot) -> u64 {
    stream.viewers.values().copied().map(u64::from).sum()
}

/// The streams with their states, and whether each comes from an origin.
async fn streams(state: &ApiState) -> Vec<(StreamSnapshot, bool)> {
    let from_origin = |stream: &StreamSnapshot| {
        let name = stream.name.parse::<StreamName>().ok();
        let spec = name.and_then(|name| state.supervisor().spec(&name).ok());
        spec.is_some_and(|spec| spec.is_from_origin())
    };
    let snapshots = state.supervisor().snapshots().await.into_iter();
    snapshots
        .map(|stream| (from_origin(&stream), stream))
        .map(|(is, stream)| (stream, is))
        .collect()
}

async fn load(state: &ApiState, streams: &[(StreamSnapshot, bool)]) -> ApplianceLoad {
    let host = files::within(&state.recordings, DISK_TIMEOUT, Host::read).await.unwrap_or_default();
    let (streams_max, viewers_max) = state.supervisor().limits();
    let from_origins = streams.iter().filter(|(_, from_origin)| *from_origin).count();
    let on_air = |state| matches!(state, StreamState::Live | StreamState::Backup);
    ApplianceLoad {
        version: env!("CARGO_PKG_VERSION").into(),
        streams: streams.len() - from_origins,
        streams_live: streams.iter().filter(|(stream, _)| on_air(stream.state)).count(),
        streams_from_origins: from_origins,
        streams_max,
        viewers: streams.iter().map(|(stream, _)| viewers_of(stream)).sum(),
        viewers_max,
        cpus: host.cpus,
        cpu_percent: (host.cpu_percent * 10.0).round() / 10.0,
    }
}

/// This appliance and its origins: whether they answer, their load, and which stream comes from where.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "system",
    responses((status = 200, body = ClusterView), Failures))]
pub(super) async fn get_cluster(State(state): State<ApiState>) -> axum::Json<ClusterView> {
    let (streams, origins) = tokio::join!(streams(&state), state.supervisor().origins().loads());
    let own = load(&state, &streams).await;
    let own = ClusterAppliance { url: None, reachable: true, problem: None, load: Some(own) };
    let appliances =
        [own].into_iter().chain(origins.into_iter().map(ClusterAppliance::of_origin)).collect();
    let brought = streams.iter().filter(|(_, from_origin)| *from_origin);
    let streams = brought.map(|(stream, _)| ClusterStream {
        stream: stream.name.clone(),
        origin: origin_of(stream),
        state: stream.state,
        viewers: viewers_of(stream),
    });
    axum::Json(ClusterView { appliances, streams: streams.collect() })
}

/// The load of this appliance, for the other ones of the cluster. Needs the token of the cluster.
#[utoipa::path(get, path = "/api/v1/cluster/load", tag = "system",
    responses((status = 200, body = ApplianceLoad), Failures))]
pub(super) async fn get_cluster_load(State(state): State<ApiState>) -> axum::Json<ApplianceLoad> {
    let streams = streams(&state).await;
    axum::Json(load(&state, &streams).await)
}

/// How an edge plays a stream of this appliance, and whom it may let play. Needs the token of the
/// cluster.
///
/// Streams that this appliance has from an origin itself are unknown here, so that no two appliances
/// get a stream from each other.
#[utoipa::path(get, path = "/api/v1/cluster/streams/{name}", tag = "system",
    params(("name" = String, Path)), responses((status = 200, body = StreamAccess), Failures))]
pub(super) async fn get_cluster_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<impl IntoResponse, Error> {
    if !state.started.load(Ordering::Acquire) {
        // A stream that is not there yet is not unknown.
        return Err(starting());
    }
    let wanted = own(&state, &name)?;
    let access = &wanted.spec.access;
    let told = StreamAccess {
        live: state.supervisor().state(&name)? != StreamState::Idle,
        open_play: access.open_play,
        play_token: access.play_token.clone(),
        srt_passphrase: access.srt_passphrase.clone(),
        srt_port: state.endpoints.srt.filter(|_| wanted.preset.play.allows(Protocol::Srt)),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(told)))
}

/// A stream that does not come from an origin.
///
/// # Errors
/// `unknown_stream`.
pub(super) fn own(state: &ApiState, name: &StreamName) -> Result<Wanted, Error> {
    let wanted = state.supervisor().wanted(name)?;
    if wanted.spec.is_from_origin() {
        let hint = "GET /api/v1/cluster tells where it comes from";
        let message = format!("stream `{name}` is not this appliance's own");
        return Err(Error::new(Code::UnknownStream, message, hint));
    }
    Ok(wanted)
}
