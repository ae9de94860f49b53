//! Costs and losses of one stream's captions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::speech::vad::SPEECH_RATE_HZ;

/// Running totals; they only grow, except for `delay_ms` and `lag_ms`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Audio that was transcribed, in ms.
    pub heard_ms: AtomicU64,
    /// Audio that was skipped because the engine lagged or was missing, in ms.
    pub skipped_ms: AtomicU64,
    /// Time spent in engines, in ms: with `heard_ms` the real-time factor.
    pub busy_ms: AtomicU64,
    /// Windows that were decoded.
    pub decoded: AtomicU64,
    /// Windows whose answer was too late.
    pub late: AtomicU64,
    /// Utterances that gate or guard refused as no speech.
    pub refused: AtomicU64,
    /// Failures of engines.
    pub failures: AtomicU64,
    /// Changes to another engine.
    pub switches: AtomicU64,
    /// Words that were committed.
    pub words: AtomicU64,
    /// Duration of the waiting audio now, in ms.
    pub lag_ms: AtomicU64,
}

impl Stats {
    pub(super) fn skip(&self, samples: usize) {
        let ms = (samples * 1000).div_ceil(SPEECH_RATE_HZ) as u64;
        self.skipped_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn hear(&self, samples: usize) {
        self.heard_ms.fetch_add((samples * 1000 / SPEECH_RATE_HZ) as u64, Ordering::Relaxed);
    }

    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn busy(&self, time: Duration) {
        self.busy_ms.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Time in engines divided by duration of the audio, since the start.
    pub fn real_time_factor(&self) -> f64 {
        let heard = self.heard_ms.load(Ordering::Relaxed).max(1);
        self.busy_ms.load(Ordering::Relaxed) as f64 / heard as f64
    }
}
