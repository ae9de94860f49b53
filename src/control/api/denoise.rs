//! `/api/v1/streams/{name}/denoise`: noise suppression while the stream runs.

use axum::extract::State;
use serde::Deserialize;

use super::extract::{Json, Params};
use super::{ApiState, Code, Error, Failures};
use crate::media::StreamName;
use crate::process::denoise::Settings;

/// Fields to change; the others stay as they are.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DenoiseChange {
    /// Off passes the sound through untouched, at the same latency: for A/B listening.
    enabled: Option<bool>,
    /// Share of the cleaned sound in the mix, 0.0-1.0.
    mix: Option<f32>,
    /// Noise is lowered by at most this much, in dB, 0-100.
    max_attenuation_db: Option<f32>,
}

async fn settings(state: &ApiState, name: &StreamName) -> Result<Settings, Error> {
    let snapshot = state.supervisor().snapshot(name).await?;
    snapshot.denoise.ok_or_else(|| {
        Error::new(
            Code::NotFound,
            format!("preset `{}` of stream `{name}` has no noise suppression", snapshot.preset),
            "use the preset `clean-audio`, or set `denoise` of the stream",
        )
    })
}

/// How noise is suppressed now.
#[utoipa::path(get, path = "/api/v1/streams/{name}/denoise", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = Settings), Failures))]
pub(super) async fn get_denoise(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<axum::Json<Settings>, Error> {
    settings(&state, &name).await.map(axum::Json)
}

/// Changes noise suppression at once and without a click.
#[utoipa::path(patch, path = "/api/v1/streams/{name}/denoise", tag = "streams",
    params(("name" = String, Path)), request_body = DenoiseChange,
    responses((status = 200, body = Settings), Failures))]
pub(super) async fn change_denoise(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Json(change): Json<DenoiseChange>,
) -> Result<axum::Json<Settings>, Error> {
    let mut wanted = settings(&state, &name).await?;
    wanted.enabled = change.enabled.unwrap_or(wanted.enabled);
    wanted.mix = change.mix.unwrap_or(wanted.mix);
    wanted.max_attenuation_db = change.max_attenuation_db.unwrap_or(wanted.max_attenuation_db);
    for (field, value, max) in
        [("mix", wanted.mix, 1.0), ("max_attenuation_db", wanted.max_attenuation_db, 100.0)]
    {
        if !(0.0..=max).contains(&value) {
            let message = format!("`{field}`: {value} is not within 0 and {max}");
            return Err(Error::new(Code::Invalid, message, "send a value within the range"));
        }
    }
    state.desk.set_denoise(&name, wanted.clone()).await?;
    Ok(axum::Json(wanted))
}
