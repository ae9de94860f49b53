//! What a transcriber is asked for, and what it reports: options, status and events.

use std::time::Duration;

use crate::media::{Cue, Language};
use crate::speech::stt::engines::Wanted;

/// How a stream is transcribed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Language, engines and model.
    pub wanted: Wanted,
    /// Names and terms that are likely to be spoken.
    pub terms: Vec<String>,
    /// Whether speakers are told apart by the turns of their voices.
    pub speakers: bool,
    /// Audio that arrives faster than it is transcribed waits instead of being skipped: for files.
    pub wait: bool,
}

/// Whether a stream has captions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// An engine is starting.
    Starting,
    /// This engine transcribes the stream.
    Listening {
        /// Name of the engine.
        engine: String,
        /// Its model, if it names one.
        model: Option<String>,
    },
    /// No engine can transcribe it.
    Off {
        /// The reason, with a remedy.
        why: String,
    },
}

/// The transcriber's output.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The current hypothesis; it replaces the last partial cue.
    Partial(Cue),
    /// A final cue.
    Committed(Cue),
    /// No committed cue will begin before this running time.
    HeardUntil(Duration),
    /// The language was detected, or it has changed.
    Language(Language, f32),
    /// Another engine transcribes the stream.
    Switched {
        /// The previous engine; `None`: this is the first.
        from: Option<String>,
        /// The new engine.
        to: String,
        /// Why it changed.
        why: String,
    },
    /// Whether the stream has captions.
    State(Status),
    /// Everything before [`Transcriber::end`](super::Transcriber::end) has been transcribed. This is
    /// the last event.
    Ended,
}
