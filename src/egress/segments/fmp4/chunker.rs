//! Groups frames into chunks: decides where chunks and segments end.

use std::sync::Arc;
use std::time::Duration;

use super::{Chunk, Cut, Frame, Sample, SegmentStarts, TrackInfo};
use crate::media::Kind;

/// A longer gap in audio timestamps is a break.
const SOUND_HOLE_MAX: Duration = Duration::from_secs(1);

/// A longer gap in video timestamps is a break. A frame lasts until the next one, which can be long
/// for slides and time-lapses. A publisher without video for 10 s already counts as frozen.
const PICTURE_MAX: Duration = Duration::from_secs(15);

/// Audio timestamps this close to a steady cadence are aligned to it: many containers round to
/// milliseconds, and players would turn every rounding error into a tiny gap.
const CADENCE_TOLERANCE: Duration = Duration::from_millis(40);

/// The cadence follows drifting timestamps by 1/36 of the difference with each frame. A clock that
/// differs by 500 ppm moves frames by 10 us each, and a difference of 5 % drops no frame. Rounding
/// by half a millisecond moves nothing.
const CADENCE_FOLLOW_DIVISOR: i64 = 36;

/// How much earlier a segment may end, so that a key frame a few milliseconds early does not make
/// the segment a whole GOP longer.
const EARLY_END_MAX: Duration = Duration::from_millis(150);

/// Maximum size of a chunk in bytes, whatever its duration: bounds memory if timestamps stand
/// still.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Longest segment of a rendition whose original begins none, in segments.
const UNLED_SEGMENTS_COUNT: u32 = 2;

/// Assumed frame duration until one is known.
const FRAME_DEFAULT: Duration = Duration::from_millis(33);

/// Groups the frames of one track into chunks of at most `chunk` duration, and marks where segments
/// of at least `segment` duration begin: at key frames, so a long GOP makes a long segment.
#[derive(Debug)]
pub struct Chunker {
    info: TrackInfo,
    chunk: Duration,
    segment: Duration,
    segment_start: u64,
    cut: Cut,
    shown_at: Duration,
    start: u64,
    /// Frames of the current chunk, each with its decode time.
    pending: Vec<(u64, Sample)>,
    pending_bytes: usize,
    /// Duration of the newest frame with a known duration, in ticks.
    frame: u64,
    /// Number of audio frames dropped because they overlapped earlier ones.
    dropped: u64,
    leads: Option<Arc<SegmentStarts>>,
    follows: Option<Arc<SegmentStarts>>,
}

impl Chunker {
    /// A chunker for a track.
    pub fn new(info: TrackInfo, chunk: Duration, segment: Duration) -> Self {
        let frame = info.ticks(info.frame.unwrap_or(FRAME_DEFAULT));
        Self {
            info,
            chunk,
            segment,
            segment_start: 0,
            cut: Cut::Break,
            shown_at: Duration::ZERO,
            start: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            frame,
            dropped: 0,
            leads: None,
            follows: None,
        }
    }

    /// The same; notes where its segments begin, for renditions of it.
    pub fn leading(self, starts: Arc<SegmentStarts>) -> Self {
        Self { leads: Some(starts), ..self }
    }

    /// The same; its segments begin where those of its original do, if it has key frames there.
    pub fn following(self, starts: Arc<SegmentStarts>) -> Self {
        Self { follows: Some(starts), ..self }
    }

    /// The track.
    pub fn info(&self) -> &TrackInfo {
        &self.info
    }

    /// Number of audio frames dropped so far because they overlapped earlier ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Duration of the current segment up to a frame decoded at `dts`.
    pub fn segment_age(&self, dts: Duration) -> Duration {
        self.info.time(self.info.ticks(dts).saturating_sub(self.segment_start))
    }

    /// Takes the next frame in decode order. Returns the chunk that ends before it, if any.
    pub fn push(&mut self, frame: Frame) -> Option<Chunk> {
        let raw = self.info.ticks(frame.dts);
        let Some((last, _)) = self.pending.last() else {
            if frame.key {
                self.begin(raw, Cut::Break, frame);
            }
            return None;
        };
        let last = *last;
        let hole_max = match self.info.kind() {
            Kind::Video => PICTURE_MAX,
            Kind::Audio => SOUND_HOLE_MAX,
        };
        let hole = raw.saturating_sub(last) > self.info.ticks(hole_max);
        let Some(at) = (if hole { Some(raw) } else { self.place(raw, last, frame.duration) })
        else {
            self.dropped += 1;
            return None;
        };
        let cut = self.cut_before(at, hole, &frame);
        let end = if hole { last + self.frame } else { at };
        let chunk = cut.and_then(|_| self.take(end));
        // A delta frame after a gap depends on lost frames and cannot be decoded.
        if hole && !frame.key {
            return chunk;
        }
        match cut {
            Some(cut) => self.begin(at, cut, frame),
            None => self.add(at, frame),
        }
        chunk
    }

    /// Ends the current chunk.
    pub fn finish(&mut self) -> Option<Chunk> {
        let (last, _) = self.pending.last()?;
        self.take(last + self.frame)
    }

    /// The decode time for a frame stamped `raw`. `None` if it overlaps earlier frames.
    fn place(&self, raw: u64, last: u64, duration: Option<Duration>) -> Option<u64> {
        if self.info.kind() == Kind::Video {
            // Decode times must increase; a source that rounds them produces equal ones.
            return Some(raw.max(last + 1));
        }
        let Some(length) = self.info.frame.or(duration) else { return Some(raw.max(last + 1)) };
        let expected = last + self.info.ticks(length);
        let tolerance = self.info.ticks(CADENCE_TOLERANCE);
        if raw + tolerance < expected {
            None
        } else if raw > expected + tolerance {
            Some(raw)
        } else {
            let apart = raw.cast_signed() - expected.cast_signed();
            Some(expected.saturating_add_signed(apart / CADENCE_FOLLOW_DIVISOR))
        }
    }

    fn cut_before(&self, at: u64, hole: bool, frame: &Frame) -> Option<Cut> {
        if hole {
            return Some(Cut::Break);
        }
        let early = self.info.ticks(EARLY_END_MAX.min(self.segment / 4));
        let age = at.saturating_sub(self.segment_start) + early;
        let ends = match &self.follows {
            None => age >= self.info.ticks(self.segment),
            Some(starts) => {
                let longest = self.info.ticks(self.segment * UNLED_SEGMENTS_COUNT);
                starts.contains(frame.pts) || age >= longest
            }
        };
        if frame.key && ends {
            return Some(Cut::Segment);
        }
        // With this frame the chunk would exceed its maximum duration.
        let full = at + self.frame - self.start > self.info.ticks(self.chunk);
        (full || self.pending_bytes > CHUNK_BYTES_MAX).then_some(Cut::Chunk)
    }

    fn begin(&mut self, at: u64, cut: Cut, frame: Frame) {
        self.cut = cut;
        self.start = at;
        self.shown_at = frame.pts;
        if cut != Cut::Chunk {
            self.segment_start = at;
            if let Some(starts) = &self.leads {
                starts.add(frame.pts);
            }
        }
        self.add(at, frame);
    }

    fn add(&mut self, at: u64, frame: Frame) {
        if let Some((last, sample)) = self.pending.last_mut() {
            sample.duration = u32::try_from(at - *last).unwrap_or(u32::MAX);
            self.frame = (at - *last).max(1);
        }
        // Audio is presented when it is decoded; video may be presented later.
        let shown = if self.info.kind() == Kind::Audio { at } else { self.info.ticks(frame.pts) };
        let composition = i128::from(shown) - i128::from(at);
        self.pending_bytes += frame.data.len();
        let sample = Sample {
            duration: 0,
            composition: i32::try_from(composition).unwrap_or(0),
            key: frame.key,
            data: frame.data,
        };
        self.pending.push((at, sample));
    }

    fn take(&mut self, end: u64) -> Option<Chunk> {
        let (last, sample) = self.pending.last_mut()?;
        let duration = end.saturating_sub(*last).max(1);
        sample.duration = u32::try_from(duration).unwrap_or(u32::MAX);
        self.pending_bytes = 0;
        self.frame = duration;
        Some(Chunk {
            start: self.start,
            shown_at: self.shown_at,
            duration: end.saturating_sub(self.start).max(1),
            cut: self.cut,
            samples: self.pending.drain(..).map(|(_, sample)| sample).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
