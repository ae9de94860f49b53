//! Engines that may abort run in child processes: this program again, as `auralink engine …`.
//!
//! ```text
//!   appliance                              auralink engine whisper --model …
//!   Child::ask ──request: JSON + audio──▶ stdin
//!              ◀──answer: JSON (+ audio)── stdout
//!   log (rate-limited) ◀────────────────── stderr
//! ```
//!
//! A child that dies, hangs or sends nonsense fails the request; the caller drops it and starts
//! another. A child ends when its parent is gone.
//!
//! Invariant: independent of speech: it passes bytes and JSON, with a time limit on each answer.

mod child;
mod frame;
mod program;
mod serve;
mod tail;
mod usage;

use std::time::Duration;

pub use child::Child;
pub use frame::{BODY_BYTES_MAX, Frame, HEADER_BYTES_MAX};
pub use program::program;
pub use serve::{serve, serve_with_body};
pub use tail::Tail;
pub use usage::{EngineUsage, usage};

/// Why a request to a child fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program was not found.
    #[error("the program `auralink` is not found; set AURALINK_ENGINE to its path")]
    NoProgram,
    /// The process does not start.
    #[error("cannot start the engine {engine}")]
    Start {
        /// Name of the engine.
        engine: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The process has ended.
    #[error("the engine {engine} died ({status}){}", said(.last))]
    Died {
        /// Name of the engine.
        engine: String,
        /// Its exit status or signal.
        status: String,
        /// The last line that it logged.
        last: String,
    },
    /// No answer within the limit.
    #[error("the engine {engine} did not answer within {:.1} s", .after.as_secs_f32())]
    Hung {
        /// Name of the engine.
        engine: String,
        /// The limit.
        after: Duration,
    },
    /// The answer is not of the expected form.
    #[error("the engine {engine} answered nonsense: {reason}")]
    Nonsense {
        /// Name of the engine.
        engine: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The child answered with an error.
    #[error("the engine {engine}: {reason}")]
    Refused {
        /// Name of the engine.
        engine: String,
        /// The child's own explanation.
        reason: String,
    },
}

fn said(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!(": {last}") }
}

#[cfg(test)]
mod tests;
