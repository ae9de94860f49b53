//! Frames of a track, and chunks of them.

use std::time::Duration;

use bytes::Bytes;

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

/// Consecutive frames of one track: a part of a segment, a fragment of a recording.
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

/// Why a chunk begins where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The previous chunk was full.
    Chunk,
    /// A new segment begins.
    Segment,
    /// A new segment begins after a hole in the timestamps, or at the very start.
    Break,
}
