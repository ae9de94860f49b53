//! `/api/v1/speech`: transcription, translation and voices of this machine, and their engines.

use axum::extract::State;
use serde::Serialize;

use super::{ApiState, Failures};
use crate::speech::chain::EngineState;
use crate::speech::engine::{EngineUsage, usage};
use crate::speech::stt::{self, Wanted};
use crate::speech::translate::Pair;
use crate::speech::tts::Voice;

/// Speech capabilities of this machine.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Abilities {
    /// Speech-to-text engines that can transcribe English, best first.
    transcribe: Vec<Ears>,
    /// Speech-to-text engines that cannot, with the remedy.
    transcribe_missing: Vec<Missing>,
    /// Language pairs for translation, those of the preferred engine first.
    translate: Vec<Pair>,
    /// State of each translation engine.
    translators: Vec<EngineState>,
    /// Languages that can be spoken, the preferred engine first.
    voices: Vec<Voice>,
    /// State of each text-to-speech engine.
    speakers: Vec<EngineState>,
    /// Text-to-speech engines that this machine lacks, with the remedy.
    speakers_missing: Vec<Missing>,
    /// What the models that were loaded since the start use.
    models: Vec<ModelUsage>,
}

/// A speech-to-text engine.
#[derive(Serialize, utoipa::ToSchema)]
struct Ears {
    /// `whisper`, `openai` or `basic`.
    engine: String,
    /// Its model; `null` if it has none.
    model: Option<String>,
}

/// What the processes of one model use.
#[derive(Serialize, utoipa::ToSchema)]
struct ModelUsage {
    /// The engine that runs it.
    #[schema(example = "moonshine")]
    engine: String,
    /// The model.
    #[schema(example = "tiny-en")]
    model: String,
    /// Processes that run; 0 after it has left memory.
    processes: usize,
    /// Resident memory of these, in bytes.
    memory_bytes: u64,
}

impl From<EngineUsage> for ModelUsage {
    fn from(used: EngineUsage) -> Self {
        let EngineUsage { engine, model, processes, memory_bytes, .. } = used;
        Self { engine, model, processes, memory_bytes }
    }
}

/// An engine that is not available.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MissingEngine)]
struct Missing {
    /// Name of the engine.
    engine: String,
    /// The reason and the remedy.
    why: String,
}

/// The languages and engines with which this machine can transcribe, translate and speak.
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
        speakers_missing: speech
            .voices
            .missing()
            .into_iter()
            .map(|(engine, why)| Missing { engine: engine.to_owned(), why })
            .collect(),
        models: usage().into_iter().map(ModelUsage::from).collect(),
    })
}
