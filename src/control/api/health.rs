//! Health, metrics, and the answers for unknown routes.

use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ApiState, Code, Error, Failures};
use crate::cluster::RedisState;
use crate::control::Metrics;
use crate::control::auth;
use crate::control::cluster::{DISK_TIMEOUT, load, streams};
use crate::flow::{self, files};
use crate::runtime::{StreamSnapshot, StreamState};
use crate::speech::recovery::{self, Trouble};
use crate::telemetry::disk;

/// The process is up and answers requests.
#[utoipa::path(get, path = "/healthz", tag = "system", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether everything works that this appliance is to do.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    /// In one word.
    state: HealthState,
    /// What does not work now.
    faults: Vec<Fault>,
}

/// The health of the appliance in one word.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum HealthState {
    /// Everything works.
    Green,
    /// Something does not; the rest goes on.
    Yellow,
}

/// Something that does not work.
#[derive(Serialize, utoipa::ToSchema)]
struct Fault {
    /// What it is.
    #[schema(example = "engine moonshine (tiny-en)")]
    what: String,
    /// Why it does not work, in words.
    reason: String,
    /// Since when, if that is known.
    since: Option<DateTime<Utc>>,
    /// Milliseconds until it is started again by itself; `null` if it is not, or if that is not known.
    retry_in_ms: Option<u64>,
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let Trouble { engine, model, reason, since, retry_in_ms, .. } = trouble;
        let what = format!("engine {engine} ({model})");
        Self { what, reason, since: Some(since), retry_in_ms: Some(retry_in_ms) }
    }
}

impl Fault {
    fn of_stream(stream: StreamSnapshot) -> Option<Self> {
        let reason = stream.last_error.last_error.unwrap_or_default();
        let what = format!("stream {}", stream.name);
        let fault = Self { what, reason, since: Some(stream.since), retry_in_ms: None };
        (stream.state == StreamState::Failed).then_some(fault)
    }

    fn of_redis(redis: RedisState) -> Option<Self> {
        let RedisState { url, reachable, since, problem } = redis;
        let what = format!("Redis {url}");
        let reason = problem.unwrap_or_default();
        (!reachable).then_some(Self { what, reason, since: Some(since), retry_in_ms: None })
    }

    fn lasting(what: String, reason: String) -> Self {
        Self { what, reason, since: None, retry_in_ms: None }
    }
}

/// What does not work now: speech engines that have died and are started again, failed streams, streams
/// of the database that could not be started, a database that cannot be written, the Redis of the cluster.
#[utoipa::path(get, path = "/api/v1/health", tag = "system",
    responses((status = 200, body = Health), Failures))]
pub(super) async fn get_health(State(state): State<ApiState>) -> axum::Json<Health> {
    let mut faults: Vec<Fault> = recovery::troubles().into_iter().map(Fault::from).collect();
    faults.extend(state.supervisor().snapshots().await.into_iter().filter_map(Fault::of_stream));
    let lost = state.stream_service.lost().into_iter();
    faults.extend(lost.map(|(name, why)| Fault::lasting(format!("stream {name}"), why)));
    let unwritable = state.stream_service.store_problem().await;
    faults.extend(unwritable.map(|why| Fault::lasting("the database".into(), why.what)));
    faults.extend(state.supervisor().origins().redis().and_then(Fault::of_redis));
    let state = if faults.is_empty() { HealthState::Green } else { HealthState::Yellow };
    axum::Json(Health { state, faults })
}

/// Whether new work is accepted; not while the database cannot be written (`not_stored`).
///
/// Further lines count streams that are missing although all others are served, and `/api/v1/health` has
/// the reasons: streams of the database that could not be started, and failed streams that restart. A
/// last line reports when the wall clock was set.
#[utoipa::path(get, path = "/readyz", tag = "system", security(()),
    responses((status = 200, body = String, content_type = "text/plain"), Failures))]
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<String, Error> {
    if state.shutdown.is_cancelled() {
        let hint = "send new work to another appliance";
        return Err(Error::new(Code::ShuttingDown, "the appliance is shutting down", hint));
    }
    if !state.started.load(Ordering::Acquire) {
        return Err(starting());
    }
    if let Some(problem) = state.stream_service.store_problem().await {
        let message = format!("the database cannot be written: {}", problem.what);
        return Err(Error::new(Code::NotStored, message, problem.hint));
    }
    let failed = state.supervisor().failed();
    let lines = [
        ("stored streams that could not be started", state.stream_service.lost().len()),
        ("streams that have failed and start again", failed),
    ];
    let mut text = "ready\n".to_owned();
    for (what, count) in lines.into_iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!("{what}: {count}\n"));
    }
    if !flow::is_settled() {
        text += "the wall clock was set: for an hour nothing is deleted by its age\n";
    }
    Ok(text)
}

/// Middleware: refuses changes while streams are still starting, so that two streams cannot get the
/// same name.
pub(super) async fn when_started(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    match request.method().is_safe() || state.started.load(Ordering::Acquire) {
        true => next.run(request).await,
        false => starting().into_response(),
    }
}

pub(super) fn starting() -> Error {
    let message = "the appliance is starting its streams";
    Error::new(Code::Starting, message, "try again in a second").retry_after(1)
}

/// Metrics in the Prometheus text format. They need the admin token unless the configuration sets
/// `open_metrics = true`.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, body = String, content_type = "text/plain"), Failures))]
pub(super) async fn metrics(
    State(state): State<ApiState>,
    peer: Option<axum::Extension<ConnectInfo<std::net::SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if !state.open_metrics {
        auth::check_reader(&state.auth, &headers, peer.map(|axum::Extension(info)| info.0.ip()))?;
    }
    let streams = streams(state.supervisor()).await;
    let load = load(state.supervisor(), &state.recordings, &streams).await;
    let streams: Vec<_> = streams.into_iter().map(|(stream, _)| stream).collect();
    let disk = files::within(&state.recordings, DISK_TIMEOUT, disk).await;
    let free = disk.ok().flatten().map(|d| d.free);
    let totals = state.archive.totals();
    let text = state.metrics.render(&streams, free, totals, &state.sessions, &load);
    let text = text.map_err(|e| Error::internal("writing the metrics", &e))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

/// The answer for an unknown path.
pub(super) async fn not_found() -> Error {
    Error::new(
        Code::NotFound,
        "nothing has this address",
        "/api/v1/openapi.json lists every address",
    )
}

/// The answer for an unsupported method. axum has set the `Allow` header.
pub(super) async fn method_not_allowed() -> Error {
    Error::new(
        Code::MethodNotAllowed,
        "this address does not take this method",
        "/api/v1/openapi.json lists the methods of every address",
    )
}

/// Middleware: counts every answer by its matched route.
pub(super) async fn observe(
    State(metrics): State<Metrics>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let status = response.status();
    metrics.http(&method, route, status.as_u16(), started.elapsed().as_secs_f64());
    if status != StatusCode::OK {
        tracing::debug!(%method, route, status = status.as_u16(), "answered");
    }
    response
}
