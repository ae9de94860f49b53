//! Captions of one stream: audio in, cues out.

mod engine_session;
mod event;
mod ring;
mod spoken;
mod stats;
mod window;
mod worker;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use event::{Event, Options, Status};
pub use stats::Stats;

use super::engines::Engines;
use ring::Ring;
use worker::Worker;

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
        let worker = move || {
            let _watch = Watch(Arc::clone(&to));
            Worker::new(engines, options, to, counted, Box::new(events)).run();
        };
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

    /// Whether its thread has died of a mistake of ours: no event follows, and another transcriber is
    /// needed.
    pub fn has_failed(&self) -> bool {
        self.ring.has_failed()
    }

    /// Running totals.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

/// Tells those who push audio if the thread dies.
struct Watch(Arc<Ring>);

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail();
        }
    }
}

impl Drop for Transcriber {
    fn drop(&mut self) {
        self.ring.close();
    }
}

#[cfg(test)]
mod tests;
