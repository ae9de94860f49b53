//! The interface of a text-to-speech engine, and the audio it returns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;

use super::Error;
use crate::media::Language;
use crate::onnx::{Device, has_provider};

/// Longest audio of one text, in seconds; more means a faulty engine.
pub(super) const OUTPUT_MAX_S: usize = 180;

/// One phrase to be spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The text, at most [`super::TEXT_CHARS_MAX`] characters. Markup has no meaning in it.
    pub text: String,
    /// Its language.
    pub language: Language,
    /// A voice of the engine; `None`: its own choice for the language.
    pub voice: Option<String>,
    /// Speed, 0.5-2; 1 is the voice's own pace.
    pub rate: f32,
    /// Pitch, 0-2; 1 is the voice's own. Only `espeak` can change it.
    pub pitch: f32,
}

/// Audio of one voice.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// Samples a second.
    pub rate_hz: u32,
    /// Mono, −1 to 1.
    pub samples: Vec<f32>,
}

impl Pcm {
    /// Duration of the audio.
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
    /// The engine: `piper`, `flite`, `espeak`, `openai` or `elevenlabs`.
    pub engine: String,
    /// What to name as `voice`; `None` where the engine has one voice for all.
    pub voice: Option<String>,
}

/// The model files for engines, already verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// Piper voices, `*.onnx` with their `.onnx.json` beside them, the preferred first.
    pub piper: Vec<(Language, PathBuf)>,
    /// ONNX Runtime's shared library.
    pub onnxruntime: Option<PathBuf>,
    /// Where voices may run.
    pub device: Device,
}

impl Models {
    /// The models in these folders and the folders in them, found by file name and not verified.
    pub fn scan(folders: &[PathBuf]) -> Self {
        let inside = |folder: &PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let nearest: Vec<PathBuf> = folders.iter().flat_map(inside).collect();
        let below: Vec<PathBuf> = nearest.iter().flat_map(inside).collect();
        let mut found = Self::default();
        for path in nearest.into_iter().chain(below) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("libonnxruntime.so") {
                if !found.onnxruntime.as_deref().is_some_and(has_provider) {
                    found.onnxruntime = Some(path);
                }
            } else if let Some(language) =
                name.ends_with(".onnx").then(|| language(&path)).flatten()
            {
                found.piper.push((language, path));
            }
        }
        found.piper.sort();
        found
    }
}

/// The language of a voice by its file name: `en_US-joe-medium.onnx`.
fn language(path: &Path) -> Option<Language> {
    path.file_name()?.to_str()?.split('-').next()?.replace('_', "-").parse().ok()
}

/// An engine that speaks.
pub trait Synthesiser: Send + Sync {
    /// Whether it speaks a language, as far as it knows without a request to a server.
    fn can(&self, language: &Language) -> bool;

    /// The voices known to the engine.
    fn voices(&self) -> Vec<Voice>;

    /// Replaces the model files. Reads their descriptions from the disk.
    fn set_models(&self, _: &Models) {}

    /// Why the engine speaks nothing on this machine, with the remedy.
    fn missing(&self) -> Option<String> {
        None
    }

    /// Loads the voice that would speak this. The first utterance reports what is wrong with it.
    fn warm_up<'a>(&'a self, _: &'a Utterance) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// Speaks. Dropping the future cancels it.
    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>>;
}
