//! Captions as they travel: cues and their words.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Language;

/// Whether a cue may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// What is heard now; the next partial cue replaces it, a committed one takes words from it.
    Partial,
    /// It never changes again.
    Committed,
}

/// One word of a cue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word with the punctuation that belongs to it, without spaces around.
    pub text: String,
    /// Running time at which it begins.
    pub start: Duration,
    /// Running time at which it ends.
    pub end: Duration,
    /// How sure the engine is, 0-1; 1 where it does not say.
    pub confidence: f32,
}

/// Who made a cue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The engine: `whisper`, `basic`, `apertium` …
    pub engine: String,
    /// Its model and the first digits of the model's hash, where it has one:
    /// `base.en-q5_1@4baf70dd`.
    pub model: Option<String>,
}

/// Text with its place in time: what is said, in one language.
///
/// Times are running time of the shared clock, like the timestamps of buffers. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cue {
    /// Counts the committed cues of a feed from 1; those that are pushed from outside from 2^40. A partial cue has the number of the committed
    /// cue that it may become. A translation has the number of its original.
    pub id: u64,
    /// Language of the text.
    pub language: Language,
    /// Whether it may still change.
    pub stage: Stage,
    /// When it begins to be said.
    pub start: Duration,
    /// When it has been said.
    pub end: Duration,
    /// What is said: one phrase without line breaks.
    pub text: String,
    /// The same word by word; empty where the engine knows only the whole, as in translations.
    pub words: Arc<[Word]>,
    /// Whether a sentence ends with it.
    pub ends_sentence: bool,
    /// Who made it.
    pub origin: Arc<Origin>,
}

impl Cue {
    /// Mean confidence of its words, 0-1; 1 where there are none.
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
