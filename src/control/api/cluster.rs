//! `/api/v1/cluster`: the appliances that share streams, and what they ask each other.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::Utc;
use serde::Serialize;

use super::extract::Params;
use super::health::starting;
use super::{ApiState, Code, Error, Failures};
use crate::cluster::{
    Appliance, ApplianceId, ApplianceLoad, RedisState, Registration, StreamAccess,
};
use crate::control::cluster::{has_publisher, load, streams, viewers_of};
use crate::media::{Protocol, StreamName};
use crate::runtime::{StreamSnapshot, StreamState, Wanted};

/// The appliances that this one knows, and which stream comes from where.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ClusterView {
    /// This appliance first, then its origins in the order of the configuration, then those that are
    /// known by Redis.
    appliances: Vec<ClusterAppliance>,
    /// The Redis in which the appliances find each other; `null` without one.
    redis: Option<RedisState>,
    /// Streams that this appliance has from an origin.
    streams: Vec<ClusterStream>,
}

/// One appliance.
#[derive(Serialize, utoipa::ToSchema)]
struct ClusterAppliance {
    /// Its base URL; `null` for this appliance, unless Redis has it.
    url: Option<String>,
    /// Its identity in Redis; `null` if it is not known there.
    #[schema(value_type = Option<String>)]
    id: Option<ApplianceId>,
    /// What it told through Redis; `null` if it is not known there, and for this appliance.
    registration: Option<Registration>,
    /// Whether it answers now, and takes the token of the cluster.
    reachable: bool,
    /// Why it does not, as text.
    problem: Option<String>,
    /// Its load; `null` if it does not answer.
    load: Option<ApplianceLoad>,
}

impl ClusterAppliance {
    fn of_other(appliance: Appliance) -> Self {
        let Appliance { url, registration, load } = appliance;
        let (load, problem) = match load {
            Ok(load) => (Some(load), None),
            Err(problem) => (None, Some(problem)),
        };
        let id = registration.as_ref().map(|registration| registration.id.clone());
        Self { url: Some(url), id, registration, reachable: load.is_some(), problem, load }
    }

    fn of_own(load: ApplianceLoad, own: Option<(&ApplianceId, &str)>) -> Self {
        let (id, url) = own.map(|(id, url)| (id.clone(), url.to_owned())).unzip();
        Self { url, id, registration: None, reachable: true, problem: None, load: Some(load) }
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

/// This appliance and the others of its cluster: whether they answer, their load, and which stream comes from where.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "system",
    responses((status = 200, body = ClusterView), Failures))]
pub(super) async fn get_cluster(State(state): State<ApiState>) -> axum::Json<ClusterView> {
    let supervisor = state.supervisor();
    let (streams, others) = tokio::join!(streams(supervisor), supervisor.origins().appliances());
    let own = load(supervisor, &state.recordings, &streams).await;
    let own = ClusterAppliance::of_own(own, supervisor.origins().own());
    let appliances =
        [own].into_iter().chain(others.into_iter().map(ClusterAppliance::of_other)).collect();
    let brought = streams.iter().filter(|(_, from_origin)| *from_origin);
    let streams = brought.map(|(stream, _)| ClusterStream {
        stream: stream.name.clone(),
        origin: origin_of(stream),
        state: stream.state,
        viewers: viewers_of(stream),
    });
    let redis = supervisor.origins().redis();
    axum::Json(ClusterView { appliances, redis, streams: streams.collect() })
}

/// The load of this appliance, for the other ones of the cluster. Needs the token of the cluster.
#[utoipa::path(get, path = "/api/v1/cluster/load", tag = "system",
    responses((status = 200, body = ApplianceLoad), Failures))]
pub(super) async fn get_cluster_load(State(state): State<ApiState>) -> axum::Json<ApplianceLoad> {
    let streams = streams(state.supervisor()).await;
    axum::Json(load(state.supervisor(), &state.recordings, &streams).await)
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
    let stream_state = state.supervisor().state(&name)?;
    let told = StreamAccess {
        live: stream_state != StreamState::Idle,
        live_ms: match has_publisher(stream_state) {
            true => Some(live_ms(&state.supervisor().snapshot(&name).await?)),
            false => None,
        },
        open_play: access.open_play,
        play_token: access.play_token.clone(),
        srt_passphrase: access.srt_passphrase.clone(),
        srt_port: state.endpoints.srt.filter(|_| wanted.preset.play.allows(Protocol::Srt)),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(told)))
}

/// For how long the publisher of a stream has been there, in milliseconds.
fn live_ms(stream: &StreamSnapshot) -> u64 {
    let publisher = stream.sources.iter().find(|source| source.on_air);
    let since = publisher.map_or(stream.since, |source| source.since);
    (Utc::now() - since).num_milliseconds().try_into().unwrap_or(0)
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
