//! `/api/v1/streams`: wanted and actual state of streams.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::extract::{Json, Params};
use super::if_match::{IfMatch, IfMatchHeader, Tag, tag};
use super::merge::patched;
use super::{ApiState, Code, Error, Failures};
use crate::control::stream_service::{Owner, Part};
use crate::media::StreamName;
use crate::runtime::{Access, StreamSnapshot, StreamSpec, Wanted};

/// The state of one stream, and its owner.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StreamView {
    #[serde(flatten)]
    snapshot: StreamSnapshot,
    owner: Owner,
}

/// A new stream with its generated tokens.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CreatedStream {
    #[serde(flatten)]
    stream: StreamView,
    access: Access,
}

/// All streams.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StreamList {
    streams: Vec<StreamView>,
}

fn view(state: &ApiState, snapshot: StreamSnapshot) -> StreamView {
    let name: Option<StreamName> = snapshot.name.parse().ok();
    let owner = name.and_then(|name| state.stream_service.owner(&name)).unwrap_or(Owner::Api);
    StreamView { snapshot, owner }
}

/// The state of a stream, with the tag of its wanted state.
async fn answer(state: &ApiState, wanted: &Wanted) -> Result<(Tag, axum::Json<StreamView>), Error> {
    let snapshot = state.supervisor().snapshot(&wanted.spec.name).await?;
    Ok((tag(&wanted.spec), axum::Json(view(state, snapshot))))
}

/// Lists all streams with their live state.
#[utoipa::path(get, path = "/api/v1/streams", tag = "streams",
    responses((status = 200, body = StreamList), Failures))]
pub(super) async fn list_streams(State(state): State<ApiState>) -> axum::Json<StreamList> {
    let snapshots = state.supervisor().snapshots().await;
    let streams = snapshots.into_iter().map(|snapshot| view(&state, snapshot)).collect();
    axum::Json(StreamList { streams })
}

/// Creates a stream. Missing tokens are generated; the answer contains them, as does `GET
/// …/access`.
#[utoipa::path(post, path = "/api/v1/streams", tag = "streams", request_body = StreamSpec,
    responses((status = 201, body = CreatedStream,
        headers(("Location" = String), ("ETag" = String))), Failures))]
pub(super) async fn create_stream(
    State(state): State<ApiState>,
    Json(spec): Json<StreamSpec>,
) -> Result<impl IntoResponse, Error> {
    let wanted = state.stream_service.create(spec).await?;
    let location = [(header::LOCATION, format!("/api/v1/streams/{}", wanted.spec.name))];
    let (tag, axum::Json(stream)) = answer(&state, &wanted).await?;
    let access = wanted.spec.access.clone();
    Ok((StatusCode::CREATED, location, tag, axum::Json(CreatedStream { stream, access })))
}

/// One stream: its state, sources, viewers, graph with counters, and outputs.
///
/// The `ETag` is that of the wanted state.
#[utoipa::path(get, path = "/api/v1/streams/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = StreamView, headers(("ETag" = String))), Failures))]
pub(super) async fn get_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<impl IntoResponse, Error> {
    answer(&state, &state.supervisor().wanted(&name)?).await
}

/// The wanted state of a stream, including tokens: the body that PUT takes.
#[utoipa::path(get, path = "/api/v1/streams/{name}/spec", tag = "streams",
    params(("name" = String, Path)),
    responses((status = 200, body = StreamSpec, headers(("ETag" = String))), Failures))]
pub(super) async fn get_spec(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<impl IntoResponse, Error> {
    let spec = state.supervisor().spec(&name)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], tag(&spec), axum::Json(spec)))
}

/// Replaces the wanted state of a stream.
///
/// Unchanged parts keep running. Omitted fields are removed or reset to their defaults; only
/// omitted tokens stay.
#[utoipa::path(put, path = "/api/v1/streams/{name}", tag = "streams",
    params(("name" = String, Path), IfMatchHeader), request_body = StreamSpec,
    responses((status = 200, body = StreamView, headers(("ETag" = String))), Failures))]
pub(super) async fn replace_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    IfMatch(precondition): IfMatch,
    Json(mut spec): Json<StreamSpec>,
) -> Result<impl IntoResponse, Error> {
    if spec.name != name {
        return Err(renamed(&name));
    }
    let edit = move |before: &Wanted| {
        let (access, kept) = (&mut spec.access, &before.spec.access);
        access.publish_token = access.publish_token.take().or_else(|| kept.publish_token.clone());
        access.play_token = access.play_token.take().or_else(|| kept.play_token.clone());
        Ok(spec)
    };
    answer(&state, &state.stream_service.change(&name, Part::Whole, precondition, edit).await?)
        .await
}

/// Changes fields of the wanted state of a stream (JSON merge patch, RFC 7396).
///
/// `null` removes a field or resets it to its default; for a token it generates a new one. A source of
/// another `type` replaces the old one with all its fields.
#[utoipa::path(patch, path = "/api/v1/streams/{name}", tag = "streams",
    params(("name" = String, Path), IfMatchHeader), request_body = Object,
    responses((status = 200, body = StreamView, headers(("ETag" = String))), Failures))]
pub(super) async fn change_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<serde_json::Value>,
) -> Result<impl IntoResponse, Error> {
    let edit = |before: &Wanted| {
        let spec = patched(&*before.spec, patch)?;
        if spec.name != before.spec.name {
            return Err(renamed(&before.spec.name));
        }
        Ok(spec)
    };
    answer(&state, &state.stream_service.change(&name, Part::Whole, precondition, edit).await?)
        .await
}

/// Removes a stream: disconnects publisher and viewers, finishes its files and keeps them.
#[utoipa::path(delete, path = "/api/v1/streams/{name}", tag = "streams",
    params(("name" = String, Path), IfMatchHeader), responses((status = 204), Failures))]
pub(super) async fn delete_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Error> {
    state.stream_service.remove(&name, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The stream's graph in Graphviz format.
#[utoipa::path(get, path = "/api/v1/streams/{name}/graph.dot", tag = "streams",
    params(("name" = String, Path)),
    responses((status = 200, body = String, content_type = "text/vnd.graphviz"), Failures))]
pub(super) async fn get_graph(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<impl IntoResponse, Error> {
    let dot = state.supervisor().graph_dot(&name).await?;
    Ok(([(header::CONTENT_TYPE, "text/vnd.graphviz; charset=utf-8")], dot))
}

/// Starts a held stream unchanged.
///
/// A stream is held if the appliance hung or crashed while it opened the stream's files at the last
/// start. Other streams are not affected.
#[utoipa::path(post, path = "/api/v1/streams/{name}/start", tag = "streams",
    params(("name" = String, Path)), responses((status = 204), Failures))]
pub(super) async fn start_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<StatusCode, Error> {
    state.supervisor().start_held(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Disconnects the publisher on air. It may reconnect; rotate the tokens to prevent that.
#[utoipa::path(post, path = "/api/v1/streams/{name}/kick", tag = "streams",
    params(("name" = String, Path)), responses((status = 204), Failures))]
pub(super) async fn kick_publisher(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<StatusCode, Error> {
    state.supervisor().kick(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn renamed(name: &StreamName) -> Error {
    Error::new(
        Code::Invalid,
        format!("`name`: it must stay `{name}`"),
        "a stream cannot be renamed: create another and delete this one",
    )
}
