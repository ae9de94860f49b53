//! Captions of one stream: sound in, cues out.

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

/// How a stream is heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Language, engines and model.
    pub wanted: Wanted,
    /// Names and terms that are likely to be said.
    pub terms: Vec<String>,
    /// Sound that comes faster than it is heard waits, instead of being skipped: for files.
    pub wait: bool,
}

/// Whether a stream has captions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// An engine is being started.
    Starting,
    /// This engine hears the stream.
    Listening {
        /// Its name.
        engine: String,
        /// Its model.
        model: Option<String>,
    },
    /// No engine can hear it.
    Off {
        /// Why, and what to do.
        why: String,
    },
}

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What is heard now; it replaces the last partial cue.
    Partial(Cue),
    /// It never changes again.
    Committed(Cue),
    /// No committed cue will begin before this running time.
    Heard(Duration),
    /// The language was detected, or it has changed.
    Language(Language, f32),
    /// Another engine hears the stream.
    Switched {
        /// The one before; `None`: the first.
        from: Option<String>,
        /// The one from now on.
        to: String,
        /// Why.
        why: String,
    },
    /// Whether it has captions.
    State(Status),
    /// Everything before [`Transcriber::end`] has been heard. Nothing comes after it.
    Ended,
}

/// See the module. Dropping it ends the captions; no event comes after that.
#[derive(Debug)]
pub struct Transcriber {
    ring: Arc<Ring>,
    stats: Arc<Stats>,
}

impl Transcriber {
    /// Starts to listen. `events` is called on the transcriber's own thread and must not block.
    ///
    /// # Errors
    /// When the system has no thread left.
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

    /// Takes sound, 16 kHz mono, whose first sample is at this running time. Never waits, unless
    /// [`Options::wait`] is set.
    pub fn push(&self, at: Duration, samples: &[f32]) {
        let skipped = self.ring.push(at, samples);
        self.stats.skip(skipped);
    }

    /// No more sound comes: [`Event::Ended`] follows when all of it has been heard.
    pub fn end(&self) {
        self.ring.end();
    }

    /// Ends the captions now: no event comes any more, and a [`Transcriber::push`] that waits
    /// returns.
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
