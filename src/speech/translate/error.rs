//! Errors of translation.

use std::time::Duration;

use crate::media::Language;
use crate::speech::chain::Failure;
use crate::speech::{EngineError, http};

/// Why a text has no translation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No engine of this machine has this pair.
    #[error(
        "no engine of this machine translates {from} to {to}; the list of pairs has what it can"
    )]
    NoRoute {
        /// Language of the text.
        from: Language,
        /// Language of the translation.
        to: Language,
    },
    /// The text is longer than [`super::TEXT_CHARS_MAX`].
    #[error("{length} characters are too long for a caption: at most {max}")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Every engine with this pair failed recently and is resting.
    #[error("every engine for {from} to {to} rests after a failure")]
    Resting {
        /// Language of the text.
        from: Language,
        /// Language of the translation.
        to: Language,
    },
    /// The engine failed or cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A mode file of Apertium cannot be read or is invalid.
    #[error("Apertium's mode `{mode}` cannot be used: {reason}")]
    Mode {
        /// Name of the mode.
        mode: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A process of an engine ended while it worked.
    #[error("`{what}` ended while it translated")]
    Died {
        /// The mode or model.
        what: String,
    },
    /// Too many texts wait to be translated in time.
    #[error("`{what}` has {waiting} texts waiting already")]
    Busy {
        /// The mode or model.
        what: String,
        /// Number of waiting texts.
        waiting: usize,
    },
    /// The answer is no translation.
    #[error("{engine} gave no translation: {reason}")]
    Unsuitable {
        /// The engine.
        engine: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A model could not be loaded or failed.
    #[error("model `{model}`: {reason}")]
    Model {
        /// The model's id.
        model: String,
        /// Why it failed.
        reason: String,
    },
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        EngineError::from(error).into()
    }
}

impl Failure for Error {
    fn blames_engine(&self) -> bool {
        match self {
            Self::Engine(error) => error.blames_engine(),
            Self::Unsuitable { .. } | Self::Busy { .. } | Self::NoRoute { .. } => false,
            Self::TooLong { .. } => false,
            // Other pairs use other models; only this model rests.
            Self::Model { .. } => false,
            _ => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Engine(error) => error.retry_after(),
            _ => None,
        }
    }

    fn timed_out(engine: &str, after: Duration) -> Self {
        EngineError::TimedOut { engine: engine.to_owned(), after }.into()
    }
}
