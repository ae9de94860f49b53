//! `/api/v1/streams`: what is wanted and how it is doing.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::extract::{Json, Params};
use super::{ApiState, Code, Error, Failures};
use crate::control::desk::Owner;
use crate::media::StreamName;
use crate::runtime::{Access, StreamSnapshot, StreamSpec};

/// One stream now, and who decides about it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StreamView {
    #[serde(flatten)]
    snapshot: StreamSnapshot,
    owner: Owner,
}

/// A new stream, with the tokens that were made for it.
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
    let owner = name.and_then(|name| state.desk.owner(&name)).unwrap_or(Owner::Api);
    StreamView { snapshot, owner }
}

async fn view_of(state: &ApiState, name: &StreamName) -> Result<axum::Json<StreamView>, Error> {
    let snapshot = state.supervisor().snapshot(name).await?;
    Ok(axum::Json(view(state, snapshot)))
}

/// Lists all streams with their live state.
#[utoipa::path(get, path = "/api/v1/streams", tag = "streams",
    responses((status = 200, body = StreamList), Failures))]
pub(super) async fn list_streams(State(state): State<ApiState>) -> axum::Json<StreamList> {
    let snapshots = state.supervisor().snapshots().await;
    let streams = snapshots.into_iter().map(|snapshot| view(&state, snapshot)).collect();
    axum::Json(StreamList { streams })
}

/// Creates a stream. Tokens that are left out are made; the answer has them, and later
/// `GET …/access`.
#[utoipa::path(post, path = "/api/v1/streams", tag = "streams", request_body = StreamSpec,
    responses((status = 201, body = CreatedStream, headers(("Location" = String))), Failures))]
pub(super) async fn create_stream(
    State(state): State<ApiState>,
    Json(spec): Json<StreamSpec>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<CreatedStream>), Error> {
    let name = spec.name.clone();
    state.desk.create(spec).await?;
    let location = [(header::LOCATION, format!("/api/v1/streams/{name}"))];
    let stream = view(&state, state.supervisor().snapshot(&name).await?);
    let access = state.supervisor().spec(&name)?.access;
    Ok((StatusCode::CREATED, location, axum::Json(CreatedStream { stream, access })))
}

/// One stream: its state, sources, viewers, graph with counters, and outputs.
#[utoipa::path(get, path = "/api/v1/streams/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = StreamView), Failures))]
pub(super) async fn get_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<axum::Json<StreamView>, Error> {
    view_of(&state, &name).await
}

/// What was asked of a stream, tokens included: the body that PUT takes.
#[utoipa::path(get, path = "/api/v1/streams/{name}/spec", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = StreamSpec), Failures))]
pub(super) async fn get_spec(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<impl IntoResponse, Error> {
    let spec = state.supervisor().spec(&name)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(spec)))
}

/// Replaces what is asked of a stream; what is equal in both is left alone while it runs.
#[utoipa::path(put, path = "/api/v1/streams/{name}", tag = "streams", params(("name" = String, Path)),
    request_body = StreamSpec, responses((status = 200, body = StreamView), Failures))]
pub(super) async fn replace_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Json(spec): Json<StreamSpec>,
) -> Result<axum::Json<StreamView>, Error> {
    if spec.name != name {
        return Err(renamed(&name));
    }
    state.desk.replace(spec).await?;
    view_of(&state, &name).await
}

/// Changes some fields of what is asked of a stream (JSON merge patch, RFC 7396): `null` brings a
/// field back to its default.
#[utoipa::path(patch, path = "/api/v1/streams/{name}", tag = "streams",
    params(("name" = String, Path)), request_body = Object,
    responses((status = 200, body = StreamView), Failures))]
pub(super) async fn change_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Json(patch): Json<serde_json::Value>,
) -> Result<axum::Json<StreamView>, Error> {
    let before = state.supervisor().spec(&name)?;
    let mut value =
        serde_json::to_value(before).map_err(|e| Error::internal("reading the stream", &e))?;
    merge(&mut value, patch);
    let spec: StreamSpec = serde_json::from_value(value).map_err(|e| {
        Error::new(Code::Invalid, e.to_string(), "/api/v1/openapi.json describes the fields")
    })?;
    if spec.name != name {
        return Err(renamed(&name));
    }
    state.desk.replace(spec).await?;
    view_of(&state, &name).await
}

/// Removes a stream: publisher and viewers are disconnected, files finished and kept.
#[utoipa::path(delete, path = "/api/v1/streams/{name}", tag = "streams",
    params(("name" = String, Path)), responses((status = 204), Failures))]
pub(super) async fn delete_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<StatusCode, Error> {
    state.desk.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The stream's graph as Graphviz text.
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

/// Starts a stream that waits for the admin, as it is: the appliance hung or died when it opened the
/// stream's files at the last start. Any other stream is left alone.
#[utoipa::path(post, path = "/api/v1/streams/{name}/start", tag = "streams",
    params(("name" = String, Path)), responses((status = 204), Failures))]
pub(super) async fn start_stream(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<StatusCode, Error> {
    state.supervisor().start_held(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Disconnects the publisher that is on air. It may come back; rotate the tokens to keep it out.
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

/// Merge patch of RFC 7396: objects are merged, `null` removes, everything else replaces.
pub(super) fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    use serde_json::Value;
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    #[test]
    fn merge_follows_the_examples_of_rfc_7396() {
        let check = |mut target: serde_json::Value, patch, expect| {
            merge(&mut target, patch);
            assert_eq!(target, expect);
        };
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        check(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
        check(
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        );
        check(json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]}));
        check(json!({"a": "foo"}), json!("bar"), json!("bar"));
        check(json!({}), json!({"a": {"bb": {"c": null}}}), json!({"a": {"bb": {}}}));
    }
}
