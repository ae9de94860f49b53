//! Captions of one stream: audio in, cues out.

mod ears;
mod ring;
mod stats;
mod window;
mod worker;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use stats::Stats;

use super::engines::{Engines, Wanted};
use crate::media::{Cue, Language};
use ring::Ring;
use worker::Worker;

/// How a stream is transcribed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Language, engines and model.
    pub wanted: Wanted,
    /// Names and terms that are likely to be spoken.
    pub terms: Vec<String>,
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
    Heard(Duration),
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
    /// Everything before [`Transcriber::end`] has been transcribed. This is the last event.
    Ended,
}

/// Dropping it ends the captions; no event follows.
#[derive(Debug)]
pub struct Transcriber {
    ring: Arc<Ring>,
    stats: Arc<Stats>,
}

impl Transcriber {
    /// Starts to transcribe. `events` is called on the transcriber's own thread and must not block.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(
        engines: Arc<Engines>,
        options: Options,
        events: impl FnMut(Event) + Send + 'static,
    ) -> std::io::Result<Self> {
        let ring = Arc::new(Ring::new(engines.config().lag_max(), options.wait));
        let stats = Arc::new(Stats::default());
        let (to, counted) = (Arc::clone(&ring), Arc::clone(&stats));
        let worker = move || Worker::new(engines, options, to, counted, Box::new(events)).run();
        thread::Builder::new().name("transcribe".into()).spawn(worker)?;
        Ok(Self { ring, stats })
    }

    /// Takes audio, 16 kHz mono, whose first sample is at the running time `at`. Never waits,
    /// unless [`Options::wait`] is set.
    pub fn push(&self, at: Duration, samples: &[f32]) {
        let skipped = self.ring.push(at, samples);
        self.stats.skip(skipped);
    }

    /// No more audio follows: [`Event::Ended`] is sent when all of it has been transcribed.
    pub fn end(&self) {
        self.ring.end();
    }

    /// Ends the captions now: no event follows, and a waiting [`Transcriber::push`] returns.
    pub fn close(&self) {
        self.ring.close();
    }

    /// Running totals.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

impl Drop for Transcriber {
    fn drop(&mut self) {
        self.ring.close();
    }
}

#[cfg(test)]
mod tests;
