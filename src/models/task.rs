//! The task of a model, and the engine that runs it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The task of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Speech to text.
    Stt,
    /// Voice activity detection.
    Vad,
    /// Translation.
    Translate,
    /// Text to speech.
    Tts,
    /// Noise suppression.
    Denoise,
    /// Runs the models of several engines.
    Runtime,
}

/// The engine that runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// whisper.cpp, with ggml files.
    Whisper,
    /// Silero voice activity detection by whisper.cpp, with ggml files.
    Silero,
    /// CTranslate2.
    Ct2,
    /// Piper, with ONNX files.
    Piper,
    /// Moonshine by ONNX Runtime.
    Moonshine,
    /// DeepFilterNet: its shared library and weights.
    Deepfilternet,
    /// ONNX Runtime: its shared library.
    Onnxruntime,
}

/// Words of these enums as written in a manifest.
macro_rules! as_written {
    ($type:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As written in a manifest.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let known = [$($word),+].join(", ");
                let found = Self::ALL.iter().find(|one| one.as_str() == text);
                found.copied().ok_or_else(|| format!("`{text}` is none of {known}"))
            }
        }
    };
}

as_written!(Task {
    Stt => "stt",
    Vad => "vad",
    Translate => "translate",
    Tts => "tts",
    Denoise => "denoise",
    Runtime => "runtime",
});
as_written!(Engine {
    Whisper => "whisper",
    Silero => "silero",
    Ct2 => "ct2",
    Piper => "piper",
    Moonshine => "moonshine",
    Deepfilternet => "deepfilternet",
    Onnxruntime => "onnxruntime",
});
