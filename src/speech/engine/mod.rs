//! Engines that may abort run in child processes: this program again, as `auralink engine …`.
//!
//! ```text
//!   appliance                              auralink engine whisper --model …
//!   Child::ask ──request: JSON + sound──▶ stdin
//!              ◀──answer: JSON──────────── stdout
//!   log (rate-limited) ◀────────────────── stderr
//! ```
//!
//! A child that dies, hangs or talks nonsense is an error of the request; the caller drops it and
//! starts another. A child whose parent is gone ends by itself.
//!
//! Invariant: knows nothing of speech; bytes and JSON pass, with a time limit on each answer.

mod child;
mod frame;
mod program;
mod serve;
mod tail;

use std::time::Duration;

pub use child::Child;
pub use frame::{BODY_MAX, Frame, HEADER_MAX};
pub use program::program;
pub use serve::serve;
pub use tail::Tail;

/// What goes wrong with a child.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no program to start.
    #[error("the program `auralink` is not found; set AURALINK_ENGINE to its path")]
    NoProgram,
    /// It does not start.
    #[error("cannot start the engine {engine}")]
    Start {
        /// Which engine.
        engine: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has ended.
    #[error("the engine {engine} died ({status}){}", said(.last))]
    Died {
        /// Which engine.
        engine: String,
        /// Its exit status or signal.
        status: String,
        /// The last line that it wrote to its log.
        last: String,
    },
    /// It does not answer.
    #[error("the engine {engine} did not answer within {:.1} s", .after.as_secs_f32())]
    Hung {
        /// Which engine.
        engine: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// It answers, but not what was asked.
    #[error("the engine {engine} answered nonsense: {reason}")]
    Nonsense {
        /// Which engine.
        engine: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It answers that it cannot.
    #[error("the engine {engine}: {reason}")]
    Refused {
        /// Which engine.
        engine: String,
        /// In its words.
        reason: String,
    },
}

fn said(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!(": {last}") }
}

#[cfg(test)]
mod tests;
