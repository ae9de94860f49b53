//! The configuration of a track: its codec, timescale and properties.

use std::time::Duration;

use crate::media::{Codec, Kind};

/// Configuration of a track, needed before its first frame.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackInfo {
    /// Codec of the track.
    pub codec: Codec,
    /// Ticks per second of the track's times.
    pub timescale: u32,
    /// The sample entry box, with the decoder's configuration.
    pub entry: Vec<u8>,
    /// RFC 6381 codec string: `avc1.64001f`, `mp4a.40.2` …
    pub mime: String,
    /// Width in pixels; 0 for audio.
    pub width: u16,
    /// Height in pixels; 0 for audio.
    pub height: u16,
    /// Frames per second; 0 for audio or if unknown.
    pub fps: f64,
    /// Number of channels; 0 for video.
    pub channels: u16,
    /// Duration of one audio frame, if the codec configuration fixes it.
    pub frame: Option<Duration>,
}

impl TrackInfo {
    /// Video or audio.
    pub fn kind(&self) -> Kind {
        self.codec.kind()
    }

    /// Converts a running time to ticks of the track, rounded.
    pub fn ticks(&self, time: Duration) -> u64 {
        let ticks = (time.as_nanos() * u128::from(self.timescale) + 500_000_000) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Converts ticks of the track to a time.
    pub fn time(&self, ticks: u64) -> Duration {
        let ns = u128::from(ticks) * 1_000_000_000 / u128::from(self.timescale.max(1));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}
