//! Fragmented MP4 (ISO/IEC 14496-12, CMAF 23000-19), used for HLS segments and recordings.
//!
//! A writer of our own, because available muxers take the decode time of a chunk from its earliest
//! presented frame. With B-frames the decode times of consecutive chunks then overlap, and players
//! that follow the Media Source rules drop everything up to the next key frame. Here the decode
//! time of a chunk is always that of its first frame.
//!
//! Invariant: only `tap` and `sources` use pipelines; the rest handles bytes and times.

mod boxes;
mod chunker;
mod fragment;
mod init;
mod sample_entry;
mod sources;
mod tap;

use std::time::Duration;

use bytes::Bytes;

use crate::media::{Codec, Kind};

pub use boxes::{BoxHeader, Boxes};
pub use chunker::{Chunker, Cut};
pub use fragment::{RandomAccess, fragment, random_access_index};
pub use init::{Header, header};
pub use sources::{Source, changed, ended, link, newest, node, settle};
pub use tap::{Tapped, branch, tap};

/// One frame of a track: an access unit in MP4 form (length-prefixed NAL units, raw AAC …).
#[derive(Clone, Debug)]
pub struct Frame {
    /// Running time of its presentation.
    pub pts: Duration,
    /// Running time of its decoding.
    pub dts: Duration,
    /// Its duration, if the codec defines it.
    pub duration: Option<Duration>,
    /// Whether decoding can start here.
    pub key: bool,
    /// The coded frame.
    pub data: Bytes,
}

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

/// One frame within a [`Chunk`].
#[derive(Clone, Debug)]
pub struct Sample {
    /// Ticks until the next frame is decoded.
    pub duration: u32,
    /// Ticks from decoding to presentation; negative only for broken sources.
    pub composition: i32,
    /// Whether decoding can start here.
    pub key: bool,
    /// Data of the coded frame.
    pub data: Bytes,
}

/// Consecutive frames of one track: a part of an HLS segment, a fragment of a recording.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Decode time of the first frame, in the track's ticks of running time.
    pub start: u64,
    /// Running time at which the first frame is presented.
    pub shown_at: Duration,
    /// Ticks from the first frame to the first frame after the chunk.
    pub duration: u64,
    /// Why the chunk begins here.
    pub cut: Cut,
    /// The frames; never empty.
    pub samples: Vec<Sample>,
}

impl Chunk {
    /// Whether decoding can start with this chunk.
    pub fn key(&self) -> bool {
        self.samples.first().is_some_and(|s| s.key)
    }

    /// Bytes of all frames.
    pub fn size(&self) -> usize {
        self.samples.iter().map(|s| s.data.len()).sum()
    }
}
