//! Captions in feeds: cues and their words.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Language;

/// Whether a cue may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Current speech; the next partial cue replaces it, a committed cue takes words from it.
    Partial,
    /// Never changes again.
    Committed,
}

/// One word of a cue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word with its punctuation, without surrounding spaces.
    pub text: String,
    /// Running time at which it begins.
    pub start: Duration,
    /// Running time at which it ends.
    pub end: Duration,
    /// Confidence of the engine, 0-1; 1 if it reports none.
    pub confidence: f32,
}

/// What made a cue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The engine: `whisper`, `basic`, `apertium` …
    pub engine: String,
    /// Its model and the first digits of the model's hash, if it has one: `base.en-q5_1@4baf70dd`.
    pub model: Option<String>,
}

/// Text with its place in time, in one language.
///
/// Times are running time of the shared clock, like the timestamps of buffers. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cue {
    /// Number of the cue. Committed cues of a feed count from 1, pushed ones from 2^40. A partial
    /// cue has the number of the committed cue that it may become, a translation that of its
    /// original.
    pub id: u64,
    /// Language of the text.
    pub language: Language,
    /// Whether it may still change.
    pub stage: Stage,
    /// When its speech begins.
    pub start: Duration,
    /// When its speech ends.
    pub end: Duration,
    /// The text: one phrase without line breaks.
    pub text: String,
    /// The same word by word; empty if the engine returns only the whole, as in translations.
    pub words: Arc<[Word]>,
    /// Whether it ends a sentence.
    pub ends_sentence: bool,
    /// What made it.
    pub origin: Arc<Origin>,
    /// Label of who speaks, as `Speaker 1`; `None` if that is not told. It identifies nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<Arc<str>>,
}

impl Cue {
    /// Mean confidence of its words, 0-1; 1 if it has none.
    pub fn confidence(&self) -> f32 {
        match self.words.len() {
            0 => 1.0,
            count => self.words.iter().map(|w| w.confidence).sum::<f32>() / count as f32,
        }
    }

    /// Whether it never changes again.
    pub fn is_committed(&self) -> bool {
        self.stage == Stage::Committed
    }
}
