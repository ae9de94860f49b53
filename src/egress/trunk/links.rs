//! The tracks of a trunk and their connections.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::flow::Feed;
use crate::media::{Format, IgnorePoison, Kind};
use crate::webrtc::{Channel, Track, sdp};

/// Averaging time for the bit rate of a feed: key frames come in bursts.
const RATE_WINDOW: Duration = Duration::from_secs(4);

/// One track of the stream and its offer.
pub(super) struct Source {
    pub(super) kind: Kind,
    pub(super) feed: Feed,
    pub(super) format: Format,
    pub(super) media: sdp::Media,
    /// Time and byte count of the last rate measurement.
    pub(super) last: Mutex<Option<(Instant, u64)>>,
}

impl Source {
    /// Bit rate of its feed since the last measurement, bit/s. `None` if that was less than
    /// [`RATE_WINDOW`] ago.
    pub(super) fn rate(&self) -> Option<f64> {
        let bytes = self.feed.stats().bytes.load(Ordering::Relaxed);
        let mut last = self.last.lock().ignore_poison();
        let now = Instant::now();
        let Some((at, before)) = *last else {
            *last = Some((now, bytes));
            return None;
        };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds < RATE_WINDOW.as_secs_f64() {
            return None;
        }
        *last = Some((now, bytes));
        Some(bytes.saturating_sub(before) as f64 * 8.0 / seconds)
    }
}

/// The tracks of a trunk and their connections.
pub(super) struct Links {
    pub(super) sources: Vec<Source>,
    pub(super) tracks: Vec<(sdp::Agreed, Track)>,
    pub(super) channel: Option<Channel>,
}

impl Links {
    /// The source, agreement and track of a kind of media.
    pub(super) fn of(&self, kind: Kind) -> Option<(&Source, &sdp::Agreed, &Track)> {
        let source = self.sources.iter().find(|s| s.kind == kind)?;
        let (agreed, track) = self.tracks.iter().find(|(agreed, _)| agreed.kind == kind)?;
        Some((source, agreed, track))
    }
}
