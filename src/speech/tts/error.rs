//! Errors of text-to-speech.

use std::time::Duration;

use crate::media::Language;
use crate::speech::chain::Failure;
use crate::speech::{EngineError, engine, http};

/// Why a text is not spoken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No engine of this machine has a voice for it.
    #[error("no engine of this machine speaks {0}; the list of voices has what it can")]
    NoVoice(Language),
    /// The engine has no such voice.
    #[error("{engine} has no voice `{voice}`")]
    UnknownVoice {
        /// The engine.
        engine: &'static str,
        /// The voice that was asked for, shortened.
        voice: String,
    },
    /// The text is longer than [`super::TEXT_CHARS_MAX`].
    #[error("{length} characters are too long for one phrase: at most {max}")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Every engine that speaks it failed recently and is resting.
    #[error("every engine for {0} rests after a failure")]
    Resting(Language),
    /// The engine failed or cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A process of an engine ended while it spoke.
    #[error("`{program}` ended with {how}{}{words}", if words.is_empty() { "" } else { ": " })]
    Died {
        /// The program.
        program: String,
        /// Its exit status.
        how: String,
        /// The end of its error output, shortened.
        words: String,
    },
    /// Too many sentences wait for a voice.
    #[error("too many sentences wait for the voice {voice}")]
    Busy {
        /// The voice.
        voice: String,
    },
    /// The process of a voice failed.
    #[error("the voice {voice} does not speak: {source}")]
    Voice {
        /// The voice.
        voice: String,
        /// What happened to the process.
        source: engine::Error,
    },
    /// A voice rests after a failure.
    #[error("the voice {voice} rests after a failure: {reason}")]
    VoiceDown {
        /// The voice.
        voice: String,
        /// The failure, in words.
        reason: String,
    },
    /// The answer is no audio, empty, or too long.
    #[error("{engine} gave no speech: {reason}")]
    Unsuitable {
        /// The engine.
        engine: &'static str,
        /// What is wrong with the answer.
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
            // Another voice of the engine may work.
            Self::Voice { source: engine::Error::Refused { .. }, .. } => false,
            Self::Busy { .. } | Self::VoiceDown { .. } => false,
            Self::NoVoice(_) | Self::UnknownVoice { .. } | Self::TooLong { .. } => false,
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
