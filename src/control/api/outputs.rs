//! `/api/v1/streams/{name}/outputs`: where a stream goes besides its viewers.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::extract::{Json, Params};
use super::{ApiState, Code, Error, Failures};
use crate::media::StreamName;
use crate::runtime::{OutputSnapshot, OutputSpec};

/// Outputs of one stream.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct OutputList {
    outputs: Vec<OutputSnapshot>,
}

/// Lists the outputs of a stream: those of its preset and those added.
#[utoipa::path(get, path = "/api/v1/streams/{name}/outputs", tag = "outputs",
    params(("name" = String, Path)), responses((status = 200, body = OutputList), Failures))]
pub(super) async fn list_outputs(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<axum::Json<OutputList>, Error> {
    let outputs = state.supervisor().snapshot(&name).await?.outputs;
    Ok(axum::Json(OutputList { outputs }))
}

/// Adds an output to a stream, running or not.
#[utoipa::path(post, path = "/api/v1/streams/{name}/outputs", tag = "outputs",
    params(("name" = String, Path)), request_body = OutputSpec,
    responses((status = 201, body = OutputSnapshot), Failures))]
pub(super) async fn add_output(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Json(output): Json<OutputSpec>,
) -> Result<(StatusCode, axum::Json<OutputSnapshot>), Error> {
    let id = output.id.clone();
    state.desk.add_output(&name, output).await?;
    Ok((StatusCode::CREATED, output_of(&state, &name, &id).await?))
}

/// Takes an output away. What it has recorded stays.
#[utoipa::path(delete, path = "/api/v1/streams/{name}/outputs/{id}", tag = "outputs",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 204), Failures))]
pub(super) async fn delete_output(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, StreamName)>,
) -> Result<StatusCode, Error> {
    state.desk.remove_output(&name, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts an output that was stopped.
#[utoipa::path(post, path = "/api/v1/streams/{name}/outputs/{id}/start", tag = "outputs",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = OutputSnapshot), Failures))]
pub(super) async fn start_output(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, StreamName)>,
) -> Result<axum::Json<OutputSnapshot>, Error> {
    state.desk.enable_output(&name, &id, true).await?;
    output_of(&state, &name, &id).await
}

/// Stops an output and keeps it in the list.
#[utoipa::path(post, path = "/api/v1/streams/{name}/outputs/{id}/stop", tag = "outputs",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = OutputSnapshot), Failures))]
pub(super) async fn stop_output(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, StreamName)>,
) -> Result<axum::Json<OutputSnapshot>, Error> {
    state.desk.enable_output(&name, &id, false).await?;
    output_of(&state, &name, &id).await
}

async fn output_of(
    state: &ApiState,
    name: &StreamName,
    id: &StreamName,
) -> Result<axum::Json<OutputSnapshot>, Error> {
    let outputs = state.supervisor().snapshot(name).await?.outputs;
    let found = outputs.into_iter().find(|output| output.id == id.as_str());
    found.map(axum::Json).ok_or_else(|| {
        let message = format!("stream `{name}` has no output `{id}` any more");
        Error::new(Code::UnknownOutput, message, "somebody else has just removed it")
    })
}
