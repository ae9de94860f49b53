//! What every speech-to-text engine does.

use std::sync::Arc;
use std::time::Duration;

use super::agreement::Pace;
use crate::media::{Language, Origin};
use crate::speech::engine;

/// What an engine is asked to write down.
#[derive(Clone, Debug)]
pub struct Window<'a> {
    /// All sound since the last cut, 16 kHz mono.
    pub samples: &'a [f32],
    /// How many of the samples, at the end, are new since the last call of this utterance. All of
    /// them after a cut and at the start.
    pub fresh: usize,
    /// The utterance is over: nothing comes after this.
    pub last: bool,
    /// Its language, where it is known.
    pub language: Option<&'a Language>,
    /// What was said before, and names to expect: text that helps the engine.
    pub prompt: &'a str,
    /// An answer after this is late.
    pub deadline: Duration,
}

/// One word of a hypothesis; times count from the start of the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The word with its punctuation.
    pub text: String,
    /// Where it begins.
    pub start: Duration,
    /// Where it ends.
    pub end: Duration,
    /// How sure the engine is, 0-1.
    pub confidence: f32,
}

/// What an engine makes of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypothesis {
    /// In order.
    pub words: Vec<Heard>,
    /// The language that it heard and how sure it is, 0-1, where it was not told one.
    pub language: Option<(Language, f32)>,
}

/// An engine's ear on one stream. Calls block until the answer or the deadline.
pub trait Session: Send {
    /// Writes a window down.
    ///
    /// # Errors
    /// [`Error::Late`] loses this answer only; after others the session is of no use any more.
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error>;
}

/// An engine that streams can share.
pub trait Engine: Send + Sync {
    /// Its name: `whisper`, `basic`, `openai`.
    fn name(&self) -> &str;

    /// Engine and model, as cues name them.
    fn origin(&self) -> Arc<Origin>;

    /// How its windows are treated.
    fn pace(&self) -> Pace;

    /// Whether it puts full stops and capitals.
    fn punctuates(&self) -> bool;

    /// The language that it writes when it was not told one and does not detect it.
    fn only_language(&self) -> Option<Language>;

    /// A new ear. Blocks until the engine has loaded its model.
    ///
    /// # Errors
    /// When it does not start, or has no room for one more stream.
    fn open(&self) -> Result<Box<dyn Session>, Error>;
}

/// What goes wrong with an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its process.
    #[error(transparent)]
    Process(#[from] engine::Error),
    /// The answer would come, or came, too late to be of use.
    #[error("{engine} is late: {reason}")]
    Late {
        /// Which engine.
        engine: &'static str,
        /// What it waited for.
        reason: String,
    },
    /// It has as many streams as it can serve.
    #[error("{engine} has no room for one more stream: {reason}")]
    Busy {
        /// Which engine.
        engine: &'static str,
        /// The limit.
        reason: String,
    },
    /// A server elsewhere.
    #[error("{server} does not transcribe: {reason}")]
    Remote {
        /// Its host.
        server: String,
        /// What it answered.
        reason: String,
    },
    /// It failed a moment ago and rests.
    #[error("{engine} is down: {reason}")]
    Down {
        /// Which engine.
        engine: &'static str,
        /// Why it failed.
        reason: String,
    },
}
