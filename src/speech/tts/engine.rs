//! What a text-to-speech engine is, and the sound it makes.

use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;

use super::Error;
use crate::media::Language;

/// One phrase to be spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The text, at most [`super::TEXT_MAX`] characters. Markup has no meaning in it.
    pub text: String,
    /// Its language.
    pub language: Language,
    /// A voice of the engine; its own choice for the language when left out.
    pub voice: Option<String>,
    /// How fast, 0.5-2; 1 is the voice's own pace.
    pub rate: f32,
    /// How high, 0-2; 1 is the voice's own pitch. Only `espeak` can change it.
    pub pitch: f32,
}

/// Sound of one voice.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// Samples a second.
    pub rate_hz: u32,
    /// Mono, −1 to 1.
    pub samples: Vec<f32>,
}

impl Pcm {
    /// How long it plays.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate_hz.max(1)))
    }
}

/// A language that this machine can speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Voice {
    /// The language.
    #[schema(value_type = String, example = "es")]
    pub language: Language,
    /// The engine: `espeak`, `piper`, `openai` or `elevenlabs`.
    pub engine: String,
    /// What to name as `voice`; `None` where the engine has one voice for all.
    pub voice: Option<String>,
}

/// An engine that speaks.
pub trait Synthesiser: Send + Sync {
    /// Whether it speaks a language, as far as it knows without asking anybody.
    fn can(&self, language: &Language) -> bool;

    /// The voices that it knows of.
    fn voices(&self) -> Vec<Voice>;

    /// Speaks. Dropping the future gives up.
    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>>;
}
