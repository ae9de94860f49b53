//! `/api/v1/streams/{name}/outputs`: the outputs of a stream.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::extract::{Json, Params};
use super::if_match::{IfMatch, IfMatchHeader};
use super::merge::{FIELDS, merge};
use super::{ApiState, Code, Error, Failures};
use crate::control::precondition::Precondition;
use crate::control::stream_service::Part;
use crate::media::StreamName;
use crate::runtime::{OutputSnapshot, OutputSpec, Wanted};

/// Outputs of one stream.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct OutputList {
    outputs: Vec<OutputSnapshot>,
}

/// Lists the outputs of a stream: those of its preset and its own.
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
    params(("name" = String, Path), IfMatchHeader), request_body = OutputSpec,
    responses((status = 201, body = OutputSnapshot), Failures))]
pub(super) async fn add_output(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    IfMatch(precondition): IfMatch,
    Json(output): Json<OutputSpec>,
) -> Result<(StatusCode, axum::Json<OutputSnapshot>), Error> {
    let id = output.id.clone();
    let edit = |before: &Wanted| Ok(before.with_output(output)?);
    state.stream_service.change(&name, Part::Outputs, precondition, edit).await?;
    Ok((StatusCode::CREATED, output_of(&state, &name, &id).await?))
}

/// Changes an output (JSON merge patch, RFC 7396). Omitted fields stay, including address and
/// token; `null` resets a field to its default. Only this output restarts.
#[utoipa::path(patch, path = "/api/v1/streams/{name}/outputs/{id}", tag = "outputs",
    params(("name" = String, Path), ("id" = String, Path), IfMatchHeader), request_body = Object,
    responses((status = 200, body = OutputSnapshot), Failures))]
pub(super) async fn change_output(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, StreamName)>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<Map<String, Value>>,
) -> Result<axum::Json<OutputSnapshot>, Error> {
    let changed = id.clone();
    let edit = move |before: &Wanted| {
        let output = patched(&before.output(&changed)?, patch)?;
        Ok(before.with_changed_output(output)?)
    };
    state.stream_service.change(&name, Part::Outputs, precondition, edit).await?;
    output_of(&state, &name, &id).await
}

/// An output with patched fields. Fields are applied one by one, so that the error names the wrong
/// one.
fn patched(before: &OutputSpec, patch: Map<String, Value>) -> Result<OutputSpec, Error> {
    let ours = |e: serde_json::Error| Error::internal("reading the output", &e);
    let mut fields = serde_json::to_value(before).map_err(ours)?;
    for (field, wanted) in patch {
        let refuse = |why: &str, hint| Error::new(Code::Invalid, format!("`{field}`: {why}"), hint);
        let Some(present) = fields.get(&field) else {
            return Err(refuse("an output of this type has no such field", FIELDS));
        };
        if ["id", "type"].contains(&field.as_str()) && *present != wanted {
            let hint = "add another output and delete this one";
            return Err(refuse(&format!("it must stay {present}"), hint));
        }
        merge(&mut fields, json!({ field.as_str(): wanted }));
        let read: Result<OutputSpec, _> = serde_json::from_value(fields.clone());
        read.map_err(|e| refuse(&e.to_string(), FIELDS))?;
    }
    serde_json::from_value(fields).map_err(ours)
}

/// Removes an output. Its recordings stay.
#[utoipa::path(delete, path = "/api/v1/streams/{name}/outputs/{id}", tag = "outputs",
    params(("name" = String, Path), ("id" = String, Path), IfMatchHeader),
    responses((status = 204), Failures))]
pub(super) async fn delete_output(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, StreamName)>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Error> {
    let edit = move |before: &Wanted| Ok(before.without_output(&id)?);
    state.stream_service.change(&name, Part::Outputs, precondition, edit).await?;
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
    enable(&state, &name, &id, true).await
}

/// Stops an output and keeps it in the list.
#[utoipa::path(post, path = "/api/v1/streams/{name}/outputs/{id}/stop", tag = "outputs",
    params(("name" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = OutputSnapshot), Failures))]
pub(super) async fn stop_output(
    State(state): State<ApiState>,
    Params((name, id)): Params<(StreamName, StreamName)>,
) -> Result<axum::Json<OutputSnapshot>, Error> {
    enable(&state, &name, &id, false).await
}

async fn enable(
    state: &ApiState,
    name: &StreamName,
    id: &StreamName,
    enabled: bool,
) -> Result<axum::Json<OutputSnapshot>, Error> {
    let switched = id.clone();
    let edit = move |before: &Wanted| {
        let output = OutputSpec { enabled, ..before.output(&switched)? };
        Ok(before.with_changed_output(output)?)
    };
    state.stream_service.change(name, Part::Settings, Precondition::Any, edit).await?;
    output_of(state, name, id).await
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
        Error::new(Code::UnknownOutput, message, "another client has just removed it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_and_what_is_left_out_stays() {
        let trunk = json!({
            "id": "b", "type": "trunk", "url": "https://b/whip/KEY", "token": "KEY",
            "video": "off", "aic": 0.5, "max_kbps": 500,
        });
        let before: OutputSpec = serde_json::from_value(trunk).expect("an output");
        let check = |patch: Value, expect: &str| {
            let Value::Object(fields) = patch.clone() else { panic!("no object: {patch}") };
            let said = match patched(&before, fields) {
                Ok(output) => serde_json::to_string(&output).expect("is written"),
                Err(error) => error.problem().message,
            };
            assert!(said.contains(expect), "{patch}: {said}");
        };
        let before = serde_json::to_string(&before).expect("is written");
        check(json!({}), &before);
        check(json!({ "id": "b", "type": "trunk" }), &before);
        check(json!({ "max_kbps": 300 }), &before.replace("500", "300"));
        check(json!({ "max_kbps": null }), &before.replace("500", "null"));
        check(json!({ "max_kbps": "much" }), "`max_kbps`: invalid type");
        check(json!({ "aic": 7 }), "`aic`: `aic` is true, false");
        check(json!({ "video": "pass", "delay_ms": -1 }), "`delay_ms`: invalid value");
        check(json!({ "url": null }), "`url`: missing field");
        check(json!({ "type": "push" }), "`type`: it must stay \"trunk\"");
        check(json!({ "id": "c" }), "`id`: it must stay \"b\"");
        check(json!({ "ulr": "https://c/whip/x" }), "`ulr`: an output of this type has no such");
    }
}
