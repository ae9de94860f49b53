//! What can go wrong in translation.

use std::time::Duration;

use crate::media::Language;
use crate::speech::chain::Failure;
use crate::speech::http;

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
        /// Language that was asked for.
        to: Language,
    },
    /// The text is longer than a caption can be.
    #[error("{length} characters are too long for a caption: at most {max}")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Every engine that has this pair failed lately and is not asked again yet.
    #[error("every engine for {from} to {to} rests after a failure")]
    Resting {
        /// Language of the text.
        from: Language,
        /// Language that was asked for.
        to: Language,
    },
    /// A remote engine failed.
    #[error(transparent)]
    Remote(#[from] http::Error),
    /// A setting of an engine cannot be used.
    #[error("`{field}`: {message}")]
    Config {
        /// Path of the setting below `translate`.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A program of an engine could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A mode file of Apertium cannot be read or makes no sense.
    #[error("Apertium's mode `{mode}` cannot be used: {reason}")]
    Mode {
        /// Its name.
        mode: String,
        /// Why not.
        reason: String,
    },
    /// A process of an engine ended while it worked.
    #[error("`{what}` ended while it translated")]
    Died {
        /// Which one.
        what: String,
    },
    /// More texts wait than can be translated in time.
    #[error("`{what}` has {waiting} texts waiting already")]
    Busy {
        /// Which one.
        what: String,
        /// How many.
        waiting: usize,
    },
    /// No answer in time.
    #[error("{engine} did not answer within {after:?}")]
    TimedOut {
        /// The engine.
        engine: String,
        /// How long it had.
        after: Duration,
    },
    /// The answer is no translation.
    #[error("{engine} gave no translation: {reason}")]
    Unsuitable {
        /// The engine.
        engine: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A model could not be loaded or failed.
    #[error("model `{model}`: {reason}")]
    Model {
        /// Which one.
        model: String,
        /// Why.
        reason: String,
    },
}

impl Failure for Error {
    fn blames_engine(&self) -> bool {
        match self {
            // Refused for what was asked: another text or pair may do.
            Self::Remote(http::Error::Refused { status, .. }) => {
                !matches!(status, 400 | 404 | 413 | 422)
            }
            Self::Unsuitable { .. } | Self::Busy { .. } | Self::NoRoute { .. } => false,
            Self::TooLong { .. } => false,
            // Other pairs have other models; this one rests by itself.
            Self::Model { .. } => false,
            _ => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Remote(error) => error.retry_after(),
            _ => None,
        }
    }

    fn timed_out(engine: &str, after: Duration) -> Self {
        Self::TimedOut { engine: engine.to_owned(), after }
    }
}
