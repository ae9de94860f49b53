//! `/api/v1/speech`: what this machine can hear, translate and speak, and by which engine.

use axum::extract::State;
use serde::Serialize;

use super::{ApiState, Failures};
use crate::speech::chain::EngineState;
use crate::speech::stt::{self, Wanted};
use crate::speech::translate::Pair;
use crate::speech::tts::Voice;

/// What this machine can do with words.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Abilities {
    /// Speech-to-text engines that can hear English, best first.
    transcribe: Vec<Ears>,
    /// Speech-to-text engines that cannot, and what turns them on.
    transcribe_missing: Vec<Missing>,
    /// Pairs of languages that can be translated, those of the preferred engine first.
    translate: Vec<Pair>,
    /// How each translation engine does.
    translators: Vec<EngineState>,
    /// Languages that can be spoken, the preferred engine first.
    voices: Vec<Voice>,
    /// How each text-to-speech engine does.
    speakers: Vec<EngineState>,
}

/// A speech-to-text engine.
#[derive(Serialize, utoipa::ToSchema)]
struct Ears {
    /// `whisper`, `openai` or `basic`.
    engine: String,
    /// Its model, where it has one.
    model: Option<String>,
}

/// An engine that is off.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MissingEngine)]
struct Missing {
    /// The engine.
    engine: String,
    /// Why, and what turns it on.
    why: String,
}

/// What this machine can hear, translate and speak, and by which engine.
#[utoipa::path(get, path = "/api/v1/speech", tag = "captions",
    responses((status = 200, body = Abilities), Failures))]
pub(super) async fn get_speech(State(state): State<ApiState>) -> axum::Json<Abilities> {
    let speech = state.supervisor().speech();
    let wanted = Wanted { language: Some(crate::media::Language::english()), ..Wanted::default() };
    let stt::Choice { engines, missing } = speech.stt.choose(&wanted);
    let ears = |engine: &std::sync::Arc<dyn stt::Engine>| Ears {
        engine: engine.name().to_owned(),
        model: engine.origin().model.clone(),
    };
    axum::Json(Abilities {
        transcribe: engines.iter().map(ears).collect(),
        transcribe_missing: missing
            .into_iter()
            .map(|(engine, why)| Missing { engine, why })
            .collect(),
        translate: speech.translators.pairs(),
        translators: speech.translators.states(),
        voices: speech.voices.list(),
        speakers: speech.voices.states(),
    })
}
