//! One track of the segment store: its segments and their data.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::fmp4::{Chunk, Cut, TrackInfo, fragment, header};
use super::index::SegmentIndex;
use super::{Part, Rendition, SegmentError};
use crate::flow;

/// Id of the only track in each of our MP4 segments.
const TRACK_ID: u32 = 1;

/// A segment without a key frame is cut when it takes more than this fraction of the memory limit:
/// 1/4.
const OPEN_SEGMENT_DIVISOR: usize = 4;

/// The segments and the data of a track.
pub(super) struct Track {
    pub(super) index: SegmentIndex,
    /// Number of breaks that this track has made.
    pub(super) epoch: u64,
    /// Bytes of all stored parts.
    pub(super) bytes: usize,
    info: Option<TrackInfo>,
    /// Initialisation sections by number; the newest is the one in use.
    inits: BTreeMap<u64, Bytes>,
    /// Number of the next initialisation section. Numbers are never reused, as with segments.
    next_init: u64,
    /// Whether the track got a new configuration since the last chunk.
    fresh: bool,
    /// Parts of each segment, with the number of its initialisation section.
    segments: BTreeMap<u64, Stored>,
    fragments: u32,
    /// Running time at which the newest chunk ends.
    end: Duration,
    /// When the newest chunk arrived.
    pushed: Option<Instant>,
    peak: f64,
    total: (f64, f64),
}

#[derive(Default)]
struct Stored {
    init: u64,
    parts: Vec<Bytes>,
    bytes: usize,
    length: Duration,
    /// Running time at which its first frame is presented.
    start: Duration,
}

impl Track {
    pub(super) fn new(first_sequence: u64) -> Self {
        Self {
            index: SegmentIndex::new(first_sequence),
            epoch: 0,
            bytes: 0,
            info: None,
            inits: BTreeMap::new(),
            next_init: first_sequence,
            fresh: false,
            segments: BTreeMap::new(),
            fragments: 0,
            end: Duration::ZERO,
            pushed: None,
            peak: 0.0,
            total: (0.0, 0.0),
        }
    }

    /// Sets the decoder configuration for the following chunks. An equal one changes nothing.
    pub(super) fn set_info(&mut self, info: TrackInfo) {
        if self.info.as_ref().is_some_and(|known| known.entry == info.entry) {
            self.info = Some(info);
            return;
        }
        self.inits.insert(self.next_init, Bytes::from(header(&[&info]).bytes));
        self.next_init += 1;
        self.info = Some(info);
        self.fresh = true;
    }

    /// Whether this chunk does not continue the previous one.
    pub(super) fn breaks(&self, chunk: &Chunk) -> bool {
        let started = !self.segments.is_empty();
        started && (self.fresh || chunk.cut == Cut::Break)
    }

    /// Adds a chunk. Returns the duration of the resulting part. `epoch` is the number of breaks of
    /// the stream; `limit` is the memory limit in bytes.
    pub(super) fn push(&mut self, chunk: &Chunk, epoch: u64, limit: usize) -> Duration {
        let Some(info) = self.info.clone() else { return Duration::ZERO };
        let behind = self.epoch < epoch && chunk.key();
        let open = self.segments.last_key_value().filter(|_| self.index.edge().is_some());
        let oversized = open.is_some_and(|(_, s)| s.bytes > limit / OPEN_SEGMENT_DIVISOR);
        if behind || self.fresh || oversized || open.is_none() || chunk.cut != Cut::Chunk {
            self.close();
            let discontinuity = self.catch_up(epoch);
            let shown_at = gst::ClockTime::from_nseconds(chunk.shown_at.as_nanos() as u64);
            let date = DateTime::<Utc>::from(std::time::UNIX_EPOCH + flow::wall_clock(shown_at));
            let init = self.inits.last_key_value().map_or(0, |(number, _)| *number);
            let sequence = self.index.begin_segment((chunk.shown_at, date), init, discontinuity);
            self.segments
                .insert(sequence, Stored { init, start: chunk.shown_at, ..Stored::default() });
            self.epoch = epoch;
            self.fresh = false;
        }
        self.fragments = self.fragments.wrapping_add(1);
        let bytes = Bytes::from(fragment(self.fragments, TRACK_ID, info.kind(), 0, chunk));
        let duration = info.time(chunk.duration);
        self.end = info.time(chunk.start + chunk.duration);
        self.pushed = Some(Instant::now());
        self.index.add_part(Part { duration, independent: chunk.key() });
        self.bytes += bytes.len();
        if let Some(mut open) = self.segments.last_entry() {
            let open = open.get_mut();
            open.bytes += bytes.len();
            open.length += duration;
            open.parts.push(bytes);
        }
        duration
    }

    /// Whether the next segment has a discontinuity before it, so that their number equals that of
    /// the breaks. A track that missed more than one break starts over.
    fn catch_up(&mut self, epoch: u64) -> bool {
        let missed = epoch.saturating_sub(self.epoch);
        if missed > 1 {
            self.forget();
        }
        let anew = self.segments.is_empty();
        if anew {
            self.index.missed_discontinuities(missed);
        }
        missed > 0 && !anew
    }

    /// Prepares for a chunk that does not continue the previous one, without a discontinuity: the
    /// gap is filled with segments that players skip. After a gap longer than `longest`, or for
    /// another decoder configuration, the track starts over.
    pub(super) fn bridge(&mut self, chunk: &Chunk, longest: Duration, target: u32) {
        let Some(info) = &self.info else { return };
        let missing = info.time(chunk.start).saturating_sub(self.end);
        if self.fresh || missing > longest {
            self.forget();
        } else if chunk.cut == Cut::Break {
            self.index.skip(missing, target);
        }
    }

    /// Running time of the start of a chunk of this track.
    pub(super) fn time_of(&self, chunk: &Chunk) -> Duration {
        self.info.as_ref().map_or(Duration::ZERO, |info| info.time(chunk.start))
    }

    /// Time since the newest chunk arrived. `None` before the first.
    pub(super) fn age(&self) -> Option<Duration> {
        self.pushed.map(|at| at.elapsed())
    }

    /// Notes the bit rate of the completed segment.
    fn close(&mut self) {
        let Some((_, done)) = self.segments.last_key_value() else { return };
        let (bits, seconds) = (done.bytes as f64 * 8.0, done.length.as_secs_f64());
        // A very short segment before a break would give an absurd bit rate.
        if seconds > 0.5 {
            self.peak = self.peak.max(bits / seconds);
            self.total = (self.total.0 + bits, self.total.1 + seconds);
        }
    }

    pub(super) fn trim(&mut self, window: usize, target: u32) {
        let oldest = self.index.trim(window, target);
        self.forget_before(oldest);
    }

    /// Removes the oldest complete segment. Returns false if there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        if self.index.complete() == 0 {
            return false;
        }
        let oldest = self.index.drop_oldest();
        self.forget_before(oldest);
        true
    }

    /// Removes all segments; numbering continues.
    pub(super) fn forget(&mut self) {
        self.index.close_segment();
        while self.drop_oldest() {}
    }

    fn forget_before(&mut self, oldest: u64) {
        while let Some(entry) = self.segments.first_entry() {
            if *entry.key() >= oldest {
                break;
            }
            self.bytes -= entry.remove().bytes;
        }
        let newest = self.inits.last_key_value().map(|(n, _)| *n);
        let needed = self.segments.values().map(|s| s.init).min().or(newest).unwrap_or(0);
        self.inits.retain(|number, _| *number >= needed);
    }

    /// Whether there is a complete segment to play.
    pub(super) fn ready(&self) -> bool {
        self.index.complete() > 0
    }

    pub(super) fn rendition(&self) -> Option<Rendition> {
        let info = self.info.clone().filter(|_| self.ready())?;
        let average = self.total.0 / self.total.1.max(0.001);
        Some(Rendition { info, peak: self.peak as u64, average: average as u64 })
    }

    /// The complete segments, each with the running time of its presentation.
    pub(super) fn complete(&self) -> Vec<(u64, Range<Duration>)> {
        let window = |sequence: u64| {
            let segment = self.segments.get(&sequence)?;
            Some((sequence, segment.start..segment.start + segment.length))
        };
        self.index.complete_numbers().filter_map(window).collect()
    }

    pub(super) fn init(&self, number: u64) -> Result<Bytes, SegmentError> {
        let gone = self.inits.first_key_value().is_some_and(|(first, _)| number < *first);
        let missing = if gone { SegmentError::Gone } else { SegmentError::Unknown };
        self.inits.get(&number).cloned().ok_or(missing)
    }

    pub(super) fn data(
        &self,
        sequence: u64,
        part: Option<usize>,
    ) -> Result<VecDeque<Bytes>, SegmentError> {
        let parts = &self.segments.get(&sequence).ok_or(SegmentError::Gone)?.parts;
        match part {
            None => Ok(parts.iter().cloned().collect()),
            Some(part) => {
                Ok(VecDeque::from([parts.get(part).cloned().ok_or(SegmentError::Unknown)?]))
            }
        }
    }
}
