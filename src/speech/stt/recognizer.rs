//! The interface of every speech-to-text engine.

use std::sync::Arc;
use std::time::Duration;

use super::agreement::Pace;
use crate::media::{Language, Origin};
use crate::speech::engine;

/// The audio to transcribe.
#[derive(Clone, Debug)]
pub struct Window<'a> {
    /// All audio since the last cut, 16 kHz mono.
    pub samples: &'a [f32],
    /// How many of the samples, at the end, are new since the last call of this utterance: all
    /// after a cut and at the start.
    pub fresh: usize,
    /// Whether the utterance has ended.
    pub last: bool,
    /// Language of the utterance, if known.
    pub language: Option<&'a Language>,
    /// Preceding text and expected names, which help the engine.
    pub prompt: &'a str,
    /// Time limit; a later answer is useless.
    pub deadline: Duration,
}

/// One word of a hypothesis; times count from the start of the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    /// The word with its punctuation.
    pub text: String,
    /// Begin of the word.
    pub start: Duration,
    /// End of the word.
    pub end: Duration,
    /// Confidence, 0-1.
    pub confidence: f32,
}

/// The transcript of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypothesis {
    /// The words, in order.
    pub words: Vec<Recognition>,
    /// The detected language and its probability, 0-1, if none was given.
    pub language: Option<(Language, f32)>,
}

/// One stream's use of an engine. Calls block until the answer or the deadline.
pub trait Session: Send {
    /// Transcribes a window.
    ///
    /// # Errors
    /// [`Error::Late`] loses only this answer; after other errors the session is unusable.
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error>;
}

/// An engine that streams can share.
pub trait Engine: Send + Sync {
    /// Its name: `whisper`, `basic`, `openai`.
    fn name(&self) -> &str;

    /// Engine and model, as cues name them.
    fn origin(&self) -> Arc<Origin>;

    /// How its windows are processed.
    fn pace(&self) -> Pace;

    /// Whether it writes full stops and capitals.
    fn punctuates(&self) -> bool;

    /// The language that it writes if it is given none and detects none.
    fn only_language(&self) -> Option<Language>;

    /// Starts a session. Blocks until the engine has loaded its model.
    ///
    /// # Errors
    /// If the engine does not start, or has no capacity for another stream.
    fn open(&self) -> Result<Box<dyn Session>, Error>;
}

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine's process failed.
    #[error(transparent)]
    Process(#[from] engine::Error),
    /// The answer came, or would come, too late to be useful.
    #[error("{engine} is late: {reason}")]
    Late {
        /// Name of the engine.
        engine: &'static str,
        /// What it waited for.
        reason: String,
    },
    /// It serves as many streams as it can.
    #[error("{engine} has no room for one more stream: {reason}")]
    Busy {
        /// Name of the engine.
        engine: &'static str,
        /// The limit that is reached.
        reason: String,
    },
    /// A remote server failed.
    #[error("{server} does not transcribe: {reason}")]
    Remote {
        /// The server's host.
        server: String,
        /// The server's answer.
        reason: String,
    },
    /// It failed recently and rests.
    #[error("{engine} is down: {reason}")]
    Down {
        /// Name of the engine.
        engine: &'static str,
        /// Why it failed.
        reason: String,
    },
}
