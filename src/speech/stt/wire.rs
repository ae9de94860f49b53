//! Messages between the appliance and the engines in child processes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::recognizer::{Hypothesis, Recognition};

/// A request; the audio is in the frame's body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Question {
    /// Load the model, then answer.
    Load,
    /// Transcribe the audio.
    Hear {
        /// Whether a new utterance begins: forget earlier audio.
        begin: bool,
        /// Whether the utterance ends with this audio.
        last: bool,
        /// The language by Whisper's name; `None`: detect it.
        language: Option<String>,
        /// Text that helps the engine.
        prompt: String,
        /// Words at its start whose times are known: text, start and end in ms.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settled: Vec<(String, u32, u32)>,
        /// Tokens of the last answer for an earlier part of this audio.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        draft: Vec<u16>,
    },
}

/// The answer to both requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// Words: text, start and end in ms, confidence.
    pub(super) words: Vec<(String, u32, u32, f32)>,
    /// The tokens of these words, from an engine that takes them as a draft.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tokens: Vec<u16>,
    /// The detected language and its probability, 0-1.
    pub(super) language: Option<(String, f32)>,
}

impl From<Answer> for Hypothesis {
    fn from(answer: Answer) -> Self {
        let words = answer.words.into_iter().map(|(text, start, end, confidence)| Recognition {
            text,
            start: Duration::from_millis(start.into()),
            end: Duration::from_millis(end.max(start).into()),
            confidence: if confidence.is_finite() { confidence.clamp(0.0, 1.0) } else { 0.0 },
        });
        let language = answer.language.and_then(|(tag, sure)| Some((tag.parse().ok()?, sure)));
        Self { words: words.collect(), language }
    }
}

/// Samples as the pipe carries them: 16 bits, little-endian.
pub(super) fn pack(samples: &[f32]) -> Vec<u8> {
    let sixteen = |s: &f32| (s.clamp(-1.0, 1.0) * 32_767.0) as i16;
    samples.iter().flat_map(|s| sixteen(s).to_le_bytes()).collect()
}

/// The samples of a body; an odd byte at the end is left out.
pub(super) fn unpack(body: &[u8]) -> Vec<i16> {
    body.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}
