//! Failures that translation and text-to-speech share.

use std::time::Duration;

use super::http;

/// Why an engine cannot be used or gave no answer, whatever its job.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A remote engine failed.
    #[error(transparent)]
    Remote(#[from] http::Error),
    /// A setting of an engine cannot be used.
    #[error("`{field}`: {message}")]
    Config {
        /// Path of the setting below the section of the job, `translate` or `tts`.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A program of an engine could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("{engine} did not answer within {after:?}")]
    TimedOut {
        /// The engine.
        engine: String,
        /// The time limit.
        after: Duration,
    },
}

impl EngineError {
    /// Whether the engine is at fault, not the request. A request that a server refuses may work
    /// with another text, pair of languages or voice.
    pub(crate) fn blames_engine(&self) -> bool {
        match self {
            Self::Remote(http::Error::Refused { status, .. }) => {
                !matches!(status, 400 | 404 | 413 | 422)
            }
            _ => true,
        }
    }

    /// How long the engine asks not to be called.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Remote(error) => error.retry_after(),
            _ => None,
        }
    }
}
