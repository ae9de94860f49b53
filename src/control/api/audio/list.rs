//! `/v1/models`: the names accepted as `model`.

use axum::extract::State;
use serde::Serialize;

use crate::control::api::{ApiState, Failures};
use crate::speech::stt::{Wanted, whisper};

/// A list of models in OpenAI's format.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ModelList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Serialize, utoipa::ToSchema)]
struct Model {
    /// Value for `model`: an engine, or an engine and its model.
    #[schema(example = "whisper/base.en")]
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// Always 0: the creation time is unknown.
    created: u64,
    /// The engine that runs it.
    owned_by: String,
}

/// Lists the names accepted as `model`: every speech-to-text engine of this machine and every
/// installed Whisper model.
///
/// Any other name, such as `whisper-1`, selects the best engine of this machine.
#[utoipa::path(get, path = "/v1/models", tag = "speech",
    responses((status = 200, body = ModelList), Failures))]
pub(super) async fn list_models(State(state): State<ApiState>) -> axum::Json<ModelList> {
    let stt = &state.supervisor().speech().stt;
    let english = Some(crate::media::Language::english());
    let choice = stt.choose(&Wanted { language: english, ..Wanted::default() });
    let mut data: Vec<Model> =
        choice.engines.iter().map(|e| model(e.name().to_owned(), e.name())).collect();
    let labels = stt.models().whisper;
    let labels = labels.iter().map(|path| format!("whisper/{}", whisper::label(path)));
    data.extend(labels.map(|id| model(id, "whisper")));
    axum::Json(ModelList { object: "list", data })
}

fn model(id: String, engine: &str) -> Model {
    Model { id, object: "model", created: 0, owned_by: engine.to_owned() }
}
