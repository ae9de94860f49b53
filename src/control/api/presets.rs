//! `/api/v1/presets`: what a stream can do with its source.

use axum::extract::State;
use serde::Serialize;

use super::extract::Params;
use super::{ApiState, Code, Error, Failures};
use crate::runtime::Preset;

/// A preset in a list.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct PresetSummary {
    /// Name of the preset, for the field `preset` of a stream.
    name: String,
    /// Short title.
    title: String,
    /// Purpose, in one or two sentences.
    description: String,
}

/// All presets.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct PresetList {
    presets: Vec<PresetSummary>,
}

/// One preset with its text.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct PresetView {
    name: String,
    #[serde(flatten)]
    preset: Preset,
    /// The file as written, comments included.
    text: String,
}

/// Lists the presets.
#[utoipa::path(get, path = "/api/v1/presets", tag = "system",
    responses((status = 200, body = PresetList), Failures))]
pub(super) async fn list_presets(State(state): State<ApiState>) -> axum::Json<PresetList> {
    let summary = |name: &str| {
        state.supervisor().presets().get(name).map(|preset| PresetSummary {
            name: name.to_owned(),
            title: preset.title.clone(),
            description: preset.description.clone(),
        })
    };
    axum::Json(PresetList {
        presets: state.supervisor().presets().names().filter_map(summary).collect(),
    })
}

/// One preset, with its text.
#[utoipa::path(get, path = "/api/v1/presets/{name}", tag = "system", params(("name" = String, Path)),
    responses((status = 200, body = PresetView), Failures))]
pub(super) async fn get_preset(
    State(state): State<ApiState>,
    Params(name): Params<String>,
) -> Result<axum::Json<PresetView>, Error> {
    match (state.supervisor().presets().get(&name), state.supervisor().presets().text(&name)) {
        (Some(preset), Some(text)) => {
            let (preset, text) = (preset.clone(), text.to_owned());
            Ok(axum::Json(PresetView { name, preset, text }))
        }
        _ => Err(Error::new(
            Code::UnknownPreset,
            "there is no preset of this name",
            "GET /api/v1/presets lists them",
        )),
    }
}
