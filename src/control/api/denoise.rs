//! `/api/v1/streams/{name}/denoise`: noise suppression while the stream runs.

use axum::extract::State;
use serde_json::Value;

use super::extract::{Json, Params};
use super::if_match::{IfMatch, IfMatchHeader};
use super::merge::patched;
use super::{ApiState, Code, Error, Failures};
use crate::control::stream_service::Part;
use crate::media::StreamName;
use crate::process::denoise::Settings;
use crate::runtime::{StreamSpec, Wanted};

fn settings(wanted: &Wanted) -> Result<Settings, Error> {
    wanted.denoise().ok_or_else(|| {
        let StreamSpec { name, preset, .. } = &*wanted.spec;
        Error::new(
            Code::NotFound,
            format!("preset `{preset}` of stream `{name}` has no noise suppression"),
            "use the preset `clean-audio`, or set `denoise` of the stream",
        )
    })
}

/// The noise suppression settings in force.
#[utoipa::path(get, path = "/api/v1/streams/{name}/denoise", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = Settings), Failures))]
pub(super) async fn get_denoise(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<axum::Json<Settings>, Error> {
    settings(&state.supervisor().wanted(&name)?).map(axum::Json)
}

/// Changes noise suppression (JSON merge patch, RFC 7396), immediately and without a click. `null`
/// resets a field to its default.
#[utoipa::path(patch, path = "/api/v1/streams/{name}/denoise", tag = "streams",
    params(("name" = String, Path), IfMatchHeader), request_body = Settings,
    responses((status = 200, body = Settings), Failures))]
pub(super) async fn change_denoise(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<Value>,
) -> Result<axum::Json<Settings>, Error> {
    let edit = |before: &Wanted| {
        let denoise = Some(patched(&settings(before)?, patch)?);
        Ok(StreamSpec { denoise, ..(*before.spec).clone() })
    };
    let wanted = state.stream_service.change(&name, Part::Settings, precondition, edit).await?;
    settings(&wanted).map(axum::Json)
}
