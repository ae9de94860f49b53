//! One track of the segment store: its segments and their data.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::fmp4::{Chunk, Cut, TrackInfo, fragment, header};
use super::index::SegmentIndex;
use super::{Part, Rendition, SegmentError, SegmentList};
use crate::flow;

/// Id of the only track in each of our MP4 segments.
const TRACK_ID: u32 = 1;

/// A segment without a key frame is cut when it takes more than this fraction of the memory limit:
/// 1/4.
const OPEN_SEGMENT_DIVISOR: usize = 4;

/// Captions of segments that ended this long ago are settled, whether or not the segments are still in
/// memory.
const SETTLES_AFTER_MAX: Duration = Duration::from_secs(30);

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
    parts: Vec<Bytes>,
    bytes: usize,
    length: Duration,
    /// Whether the disk has it.
    kept: Kept,
}

/// Whether the disk has a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kept {
    /// It was not asked for.
    #[default]
    No,
    /// It is being written.
    Soon,
    Yes,
    /// It could not be written.
    Failed,
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
            self.segments.insert(sequence, Stored::default());
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
        let anew = self.index.is_empty();
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

    /// Removes what is past the live window and its grace period, also from the index.
    pub(super) fn trim(&mut self, window: usize, target: u32) {
        self.index.drop_before(self.index.live_from(window, target));
        self.forget_gone();
    }

    /// Takes what is past the live window and its grace period out of memory; the disk has it. What the
    /// disk is still writing stays. Returns the running time at which the newest one ends that the disk
    /// will never have.
    pub(super) fn leave_memory(&mut self, window: usize, target: u32) -> Option<Duration> {
        let live = self.index.live_from(window, target);
        let past = self.segments.range(..live).filter(|(_, stored)| stored.kept != Kept::Soon);
        let past: Vec<u64> = past.map(|(sequence, _)| *sequence).collect();
        let lost = past.into_iter().filter_map(|sequence| self.leave(sequence)).max();
        self.index.join_parts(self.oldest_in_memory());
        lost
    }

    /// Takes a segment out of memory. Returns the running time at which it ends if the disk does not
    /// have it.
    fn leave(&mut self, sequence: u64) -> Option<Duration> {
        let gone = self.segments.remove(&sequence)?;
        self.bytes -= gone.bytes;
        let end = self.index.find(sequence).map_or(Duration::ZERO, |segment| segment.end());
        (gone.kept != Kept::Yes).then_some(end)
    }

    /// Takes the oldest complete segment out of memory, as [`Self::leave`] does. `None` if there is none.
    pub(super) fn leave_oldest(&mut self) -> Option<Option<Duration>> {
        let oldest = *self.segments.first_key_value()?.0;
        self.index.find(oldest)?;
        let lost = self.leave(oldest);
        self.index.join_parts(self.oldest_in_memory());
        Some(lost)
    }

    /// Removes segments out of memory that end by this running time, also from the index.
    pub(super) fn drop_until(&mut self, end: Duration) {
        self.index.drop_until(end, self.oldest_in_memory());
        self.forget_gone();
    }

    /// Removes all segments that are not in memory: the disk no longer has them.
    pub(super) fn drop_history(&mut self) {
        self.index.drop_before(self.oldest_in_memory());
        self.segments.values_mut().for_each(|stored| stored.kept = Kept::No);
        self.forget_gone();
    }

    /// Number of the oldest segment in memory; of the next one if there is none.
    fn oldest_in_memory(&self) -> u64 {
        let first = self.segments.first_key_value().map(|(sequence, _)| *sequence);
        first.unwrap_or_else(|| self.index.next_number())
    }

    /// Passes complete segments that were not passed yet to `keep`, with their bytes; it tells whether
    /// they are being written.
    pub(super) fn keep(&mut self, mut keep: impl FnMut(u64, Vec<Bytes>) -> bool) {
        let open = self.index.edge().map(|(sequence, _)| sequence);
        for (sequence, stored) in &mut self.segments {
            if stored.kept == Kept::No && Some(*sequence) != open {
                let written = keep(*sequence, stored.parts.clone());
                stored.kept = if written { Kept::Soon } else { Kept::Failed };
            }
        }
    }

    /// Whether the disk has still to answer.
    #[cfg(test)]
    pub(super) fn is_being_written(&self) -> bool {
        self.segments.values().any(|stored| stored.kept == Kept::Soon)
    }

    /// Notes whether the disk has got a segment.
    pub(super) fn kept(&mut self, sequence: u64, written: bool) {
        if let Some(stored) = self.segments.get_mut(&sequence) {
            stored.kept = if written { Kept::Yes } else { Kept::Failed };
        }
    }

    /// Running time at which the oldest segment ends, if only the disk has it.
    pub(super) fn oldest_end(&self) -> Option<Duration> {
        self.index.oldest_end(self.oldest_in_memory())
    }

    /// Running time at which the newest chunk ends.
    pub(super) fn end(&self) -> Duration {
        self.end
    }

    /// Number of complete segments.
    pub(super) fn complete(&self) -> usize {
        self.index.complete()
    }

    /// As [`SegmentIndex::mirror`], and counts the breaks of that track as made.
    pub(super) fn mirror(&mut self, list: &SegmentList) {
        let init = self.inits.last_key_value().map_or(0, |(number, _)| *number);
        self.epoch = self.index.mirror(list, init).unwrap_or(self.epoch);
    }

    /// Removes the oldest complete segment.
    pub(super) fn drop_oldest(&mut self) {
        self.index.drop_oldest();
        self.forget_gone();
    }

    /// Removes all segments; numbering continues.
    pub(super) fn forget(&mut self) {
        self.index.close_segment();
        self.index.drop_before(u64::MAX);
        self.forget_gone();
    }

    /// Forgets the data of what is no longer in the index.
    fn forget_gone(&mut self) {
        let oldest = self.index.oldest();
        while let Some(entry) = self.segments.first_entry() {
            if *entry.key() >= oldest {
                break;
            }
            self.bytes -= entry.remove().bytes;
        }
        let newest = self.inits.last_key_value().map(|(n, _)| *n);
        let needed = self.index.oldest_init().or(newest).unwrap_or(0);
        self.inits.retain(|number, _| *number >= needed);
    }

    /// Whether there is a complete segment to play.
    pub(super) fn ready(&self) -> bool {
        self.index.has_media()
    }

    pub(super) fn rendition(&self) -> Option<Rendition> {
        let info = self.info.clone().filter(|_| self.ready())?;
        let average = self.total.0 / self.total.1.max(0.001);
        Some(Rendition { info, peak: self.peak as u64, average: average as u64 })
    }

    /// The complete segments that are in memory or whose captions may not be settled, each with the
    /// running time of its presentation.
    pub(super) fn recent(&self) -> Vec<(u64, Range<Duration>)> {
        let (live, end) = (self.oldest_in_memory(), self.index.end_of_complete());
        let newest = self.index.newest_first();
        let recent = newest.take_while(|s| s.sequence >= live || s.end() + SETTLES_AFTER_MAX > end);
        let mut recent: Vec<_> = recent.map(|s| (s.sequence, s.start..s.end())).collect();
        recent.reverse();
        recent
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
