//! Bit rates and buffer rates of a stream's feeds.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::publisher::Publisher;
use crate::flow::Feed;

/// Window over which rates are measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Bit rates and buffer rates of feeds, from the difference of two totals.
#[derive(Default)]
pub(super) struct Rates {
    last: Option<Instant>,
    totals: BTreeMap<String, (u64, u64)>,
    pub(super) rates: BTreeMap<String, (f64, f64)>,
}

impl Rates {
    /// Updates the rates, at most once per window.
    pub(super) fn update(
        &mut self,
        feeds: &BTreeMap<String, Feed>,
        publishers: &mut [Publisher],
        now: Instant,
    ) {
        let elapsed = self.last.map(|t| now.duration_since(t));
        if elapsed.is_some_and(|e| e < RATE_WINDOW) {
            return;
        }
        self.last = Some(now);
        let seconds = elapsed.map_or(0.0, |e| e.as_secs_f64());
        let per_second = |new: u64, old: u64| match seconds {
            s if s > 0.0 => new.saturating_sub(old) as f64 / s,
            _ => 0.0,
        };
        let totals = |feed: &Feed| {
            let stats = feed.stats();
            (stats.bytes.load(Relaxed), stats.buffers.load(Relaxed))
        };
        self.rates = feeds
            .iter()
            .map(|(name, feed)| {
                let (bytes, buffers) = totals(feed);
                let (bytes_before, buffers_before) =
                    self.totals.get(name).copied().unwrap_or((bytes, buffers));
                let kbps = per_second(bytes, bytes_before) * 8.0 / 1000.0;
                (name.clone(), (kbps, per_second(buffers, buffers_before)))
            })
            .collect();
        self.totals = feeds.iter().map(|(name, feed)| (name.clone(), totals(feed))).collect();
        for publisher in publishers {
            let bytes = publisher.bytes();
            publisher.kbps = per_second(bytes, publisher.bytes_seen) * 8.0 / 1000.0;
            publisher.bytes_seen = bytes;
        }
    }
}
