//! Settings of segments, and what follows from them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a stream is segmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = HlsSettings)]
pub struct Settings {
    /// Minimum segment duration in seconds, 1-30. Segments begin at key frames, so less frequent
    /// key frames make longer segments.
    pub segment_s: u32,
    /// Duration of the parts for low-latency players, in milliseconds, 100-2000; 0 disables low
    /// latency. Players stay about three parts behind the live edge. With captions they stay behind
    /// by a segment and 5 s, with translations by a segment and 8 s.
    pub part_ms: u32,
    /// Segments that a manifest lists, 3-100. Captions need as many segments as players stay behind.
    pub segments: u32,
    /// Maximum memory for segments, in MiB, at least 4; the oldest segments are dropped first.
    pub memory_mib: u32,
    /// Maximum disk space for the DVR window of a stream, in MiB; the oldest segments are deleted first.
    pub dvr_mib: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment_s: 2, part_ms: 400, segments: 8, memory_mib: 64, dvr_mib: 16_384 }
    }
}

impl Settings {
    pub(super) fn segment(&self) -> Duration {
        Duration::from_secs(u64::from(self.segment_s.clamp(1, 30)))
    }

    pub(super) fn part(&self) -> Option<Duration> {
        let part = Duration::from_millis(u64::from(self.part_ms.clamp(100, 2000)));
        (self.part_ms > 0).then_some(part)
    }

    /// Maximum number of bytes of a DVR window.
    pub(super) fn dvr_bytes(&self) -> u64 {
        u64::from(self.dvr_mib) << 20
    }

    pub(super) fn window(&self) -> usize {
        self.segments.clamp(3, 100) as usize
    }
}
