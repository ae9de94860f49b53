//! A connected publisher.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::flow::{CaptionFeeds, Tracks};
use crate::media::Timeline;
use crate::runtime::job::Slot;
use crate::runtime::switcher::{FROZEN_AFTER, Health};

/// How long video may stand still while audio continues (as with a shared screen) before the
/// publisher counts as frozen.
const VIDEO_FROZEN_AFTER: Duration = Duration::from_secs(10);

/// A publisher without video goes on air this long after its connection.
const AUDIO_ONLY_AFTER: Duration = Duration::from_millis(1500);

/// A connected publisher.
pub(super) struct Publisher {
    pub(super) id: u64,
    pub(super) slot: Slot,
    pub(super) tracks: Tracks,
    pub(super) timeline: Arc<Mutex<Timeline>>,
    /// Captions that it sends.
    pub(super) captions: CaptionFeeds,
    pub(super) cancel: CancellationToken,
    pub(super) since: DateTime<Utc>,
    pub(super) connected: Instant,
    /// Bytes at the last check and the rate since, for the report.
    pub(super) bytes_seen: u64,
    pub(super) kbps: f64,
}

impl Publisher {
    /// Bytes received, as counted by the protocol, or else by the media.
    pub(super) fn bytes(&self) -> u64 {
        match self.tracks.report.bytes.load(Ordering::Relaxed) {
            0 => self.tracks.video.bytes() + self.tracks.audio.bytes(),
            bytes => bytes,
        }
    }

    /// Whether its media flows, and whether it can go on air.
    pub(super) fn health(&self, now: Instant) -> Health {
        let (video, audio) = (&self.tracks.video, &self.tracks.audio);
        let paused = self.tracks.report.has_no_video();
        let age = match (video.age(), audio.age()) {
            (_, Some(audio)) if paused => Some(audio),
            (Some(v), Some(a)) if v < VIDEO_FROZEN_AFTER => Some(v.min(a)),
            (Some(v), Some(_)) => Some(v),
            // Slides and time-lapses: a frame is late only after the previous frame interval has
            // passed.
            (Some(v), None) => {
                let longest = VIDEO_FROZEN_AFTER - FROZEN_AFTER;
                Some(v.saturating_sub(video.step().unwrap_or(longest).min(longest)))
            }
            (None, audio) => audio,
        };
        let age = age.filter(|_| !self.tracks.report.has_ended());
        let audio_only = video.age().is_none()
            && audio.has_key()
            && now.duration_since(self.connected) > AUDIO_ONLY_AFTER;
        Health { age, ready: video.has_key() || audio_only }
    }
}
