//! Which segments of a track there are, without their data and without I/O.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Part, Segment, SegmentError, SegmentList, ticks};

/// Segments that left the window stay available for this many target durations, for players that
/// have just read an older manifest (RFC 8216, 6.2.2).
const GRACE_TARGETS_COUNT: u32 = 3;

/// The segments of one rendition and their numbers. Sequence numbers only increase.
#[derive(Debug)]
pub(in crate::egress) struct SegmentIndex {
    /// Complete segments, oldest first, including those in the grace period.
    segments: VecDeque<Segment>,
    open: Option<Segment>,
    next_sequence: u64,
    /// Number of discontinuities in removed segments.
    gone_discontinuities: u64,
    ended: bool,
}

/// Availability of a segment or part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::egress) enum Standing {
    /// It was available and is removed.
    Gone,
    /// It is available.
    Here,
    /// It will be available shortly.
    Soon,
    /// It is too far ahead to wait for.
    Unknown,
}

/// How long segments outlive the window.
pub(super) fn grace(target: u32) -> Duration {
    Duration::from_secs(u64::from(target * GRACE_TARGETS_COUNT))
}

impl SegmentIndex {
    /// An empty index whose first segment gets this number.
    pub(in crate::egress) fn new(first_sequence: u64) -> Self {
        Self {
            segments: VecDeque::new(),
            open: None,
            next_sequence: first_sequence,
            gone_discontinuities: 0,
            ended: false,
        }
    }

    /// Closes the open segment and begins the next one, which is presented from the running time
    /// `start`. Returns its number.
    pub(in crate::egress) fn begin_segment(
        &mut self,
        (start, date): (Duration, DateTime<Utc>),
        init: u64,
        discontinuity: bool,
    ) -> u64 {
        self.close_segment();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.ended = false;
        let (parts, length, gap) = (Vec::new(), Duration::ZERO, false);
        self.open =
            Some(Segment { sequence, date, start, discontinuity, init, parts, length, gap });
        sequence
    }

    /// Closes the open segment and fills a gap of this duration with segments that players do not
    /// fetch, each at most `target` seconds long.
    pub(super) fn skip(&mut self, mut missing: Duration, target: u32) {
        self.close_segment();
        let target = Duration::from_secs(u64::from(target.max(1)));
        while let Some(last) = self.segments.back().filter(|_| !missing.is_zero()) {
            let (init, at) = (last.init, (last.end(), last.date + last.length));
            let part = Part { duration: missing.min(target), independent: false };
            missing -= part.duration;
            self.begin_segment(at, init, false);
            self.add_part(part);
            if let Some(open) = &mut self.open {
                open.gap = true;
            }
            self.close_segment();
        }
    }

    /// Counts discontinuities that occurred before the first segment.
    pub(super) fn missed_discontinuities(&mut self, count: u64) {
        self.gone_discontinuities += count;
    }

    /// Adds a part to the open segment. Returns its number in the segment, or `None` without an
    /// open one.
    pub(in crate::egress) fn add_part(&mut self, part: Part) -> Option<usize> {
        let open = self.open.as_mut()?;
        open.parts.push(part);
        open.length += part.duration;
        Some(open.parts.len() - 1)
    }

    /// Closes the open segment.
    pub(in crate::egress) fn close_segment(&mut self) {
        self.segments.extend(self.open.take().filter(|s| !s.parts.is_empty()));
    }

    /// Ends the track: nothing more will be added.
    pub(in crate::egress) fn end(&mut self) {
        self.close_segment();
        self.ended = true;
    }

    /// Number of the oldest segment within the live window, or past it but within its grace period.
    pub(super) fn live_from(&self, window: usize, target: u32) -> u64 {
        let (mut count, mut past) = (0, Duration::ZERO);
        let mut from = self.open.as_ref().map_or(self.next_sequence, |open| open.sequence);
        for segment in self.segments.iter().rev() {
            if count >= window && (past >= grace(target) || count + 1 >= 4 * window) {
                break;
            }
            past += if count >= window { segment.length } else { Duration::ZERO };
            count += 1;
            from = segment.sequence;
        }
        from
    }

    /// Removes segments that are past the window and its grace period.
    #[cfg(test)]
    pub(in crate::egress) fn trim(&mut self, window: usize, target: u32) {
        self.drop_before(self.live_from(window, target));
    }

    /// Removes the complete segments before this number.
    pub(super) fn drop_before(&mut self, sequence: u64) {
        while self.segments.front().is_some_and(|s| s.sequence < sequence) {
            self.drop_oldest();
        }
    }

    /// Removes complete segments before the number `live` that end by the running time `end`.
    pub(super) fn drop_until(&mut self, end: Duration, live: u64) {
        while self.segments.front().is_some_and(|s| s.sequence < live && s.end() <= end) {
            self.drop_oldest();
        }
    }

    /// Forgets the parts of segments before this number: they are fetched as a whole only.
    pub(super) fn join_parts(&mut self, before: u64) {
        let count = self.segments.partition_point(|s| s.sequence < before);
        for segment in self.segments.range_mut(..count).rev() {
            if segment.parts.is_empty() {
                break;
            }
            segment.parts = Vec::new();
        }
    }

    /// Running time at which the oldest complete segment ends, if its number is before `live`.
    pub(super) fn oldest_end(&self, live: u64) -> Option<Duration> {
        self.segments.front().filter(|s| s.sequence < live).map(Segment::end)
    }

    /// Removes the oldest complete segment.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(gone) = self.segments.pop_front() {
            self.gone_discontinuities += u64::from(gone.discontinuity);
        }
    }

    /// Lists the segments of another track as gaps of this one, which is empty: a player that goes
    /// back finds them at their time and takes that track. Returns the number of their last
    /// discontinuity; `None` if there are none.
    pub(super) fn mirror(&mut self, list: &SegmentList, init: u64) -> Option<u64> {
        let mut number = list.discontinuities;
        let first = list.complete.first()?;
        self.gone_discontinuities = number - u64::from(first.discontinuity);
        for (index, of) in list.complete.iter().enumerate() {
            let (sequence, parts) = (self.next_sequence, Vec::new());
            self.next_sequence += 1;
            number += u64::from(of.discontinuity && index > 0);
            self.segments.push_back(Segment { sequence, init, parts, gap: true, ..of.clone() });
        }
        Some(number)
    }

    /// Number of the next segment.
    pub(super) fn next_number(&self) -> u64 {
        self.next_sequence
    }

    /// Number of the initialisation section of the oldest segment.
    pub(super) fn oldest_init(&self) -> Option<u64> {
        self.segments.front().or(self.open.as_ref()).map(|s| s.init)
    }

    /// Number of the oldest segment; of the next one if there is none.
    pub(super) fn oldest(&self) -> u64 {
        let first = self.segments.front().or(self.open.as_ref());
        first.map_or(self.next_sequence, |s| s.sequence)
    }

    /// The segments for a manifest, at most `window` complete ones.
    pub(in crate::egress) fn list(&self, window: usize) -> SegmentList {
        SegmentList { open: self.open.clone(), ..self.newest(self.segments.len(), window) }
    }

    /// The complete segments up to `last` for a manifest, at most `window`.
    pub(super) fn list_until(&self, last: u64, window: usize) -> SegmentList {
        let count = self.segments.partition_point(|s| s.sequence <= last);
        let ended = self.ended && count == self.segments.len();
        SegmentList { ended, ..self.newest(count, window) }
    }

    /// The newest `window` of the first `count` complete segments.
    fn newest(&self, count: usize, window: usize) -> SegmentList {
        let skipped = count.saturating_sub(window);
        // The first one has no predecessor in the list, so its own is counted here.
        let counted = self.segments.iter().chain(&self.open).take(skipped + 1);
        let gone = counted.filter(|s| s.discontinuity).count() as u64;
        SegmentList {
            complete: self.segments.range(skipped..count).cloned().collect(),
            open: None,
            first: self.segments.get(skipped).map_or_else(|| self.oldest(), |s| s.sequence),
            discontinuities: self.gone_discontinuities + gone,
            ended: self.ended,
        }
    }

    /// Number of complete segments.
    pub(in crate::egress) fn complete(&self) -> usize {
        self.segments.len()
    }

    /// Number of complete segments that end after this running time.
    pub(super) fn complete_after(&self, end: Duration) -> usize {
        self.segments.len() - self.segments.partition_point(|s| s.end() <= end)
    }

    /// Whether there is a complete segment with media.
    pub(super) fn has_media(&self) -> bool {
        self.segments.iter().rev().any(|s| !s.gap)
    }

    /// Whether there is no segment at all.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.open.is_none()
    }

    /// The complete segment with this number.
    pub(super) fn find(&self, sequence: u64) -> Option<&Segment> {
        let index = self.segments.partition_point(|s| s.sequence < sequence);
        self.segments.get(index).filter(|s| s.sequence == sequence)
    }

    /// The complete segments from the end on, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().rev()
    }

    /// Running time at which the newest complete segment ends.
    pub(super) fn end_of_complete(&self) -> Duration {
        self.segments.back().map_or(Duration::ZERO, Segment::end)
    }

    /// Number of the complete segment with this initialisation section that is presented from this
    /// time, in ticks.
    pub(super) fn number_at(&self, init: u64, start: u64) -> Result<u64, SegmentError> {
        let mut newest_first = self.segments.iter().rev();
        let found = newest_first.find(|s| (s.init, ticks(s.start)) == (init, start));
        let oldest = self.segments.front();
        let gone = oldest.is_some_and(|s| (init, start) < (s.init, ticks(s.start)));
        let missing = if gone { SegmentError::Gone } else { SegmentError::Unknown };
        found.map(|segment| segment.sequence).ok_or(missing)
    }

    /// Duration of the longer one of the two newest segments, of which one may be open.
    pub(super) fn longest_of_newest(&self) -> Duration {
        let newest = self.segments.back().into_iter().chain(&self.open);
        newest.map(|s| s.length).max().unwrap_or_default()
    }

    /// Number of the open segment and of the parts in it.
    pub(super) fn edge(&self) -> Option<(u64, usize)> {
        let open = self.open.as_ref()?;
        Some((open.sequence, open.parts.len()))
    }

    /// Availability of a segment or part.
    pub(in crate::egress) fn standing(&self, sequence: u64, part: Option<usize>) -> Standing {
        if sequence < self.oldest() {
            return Standing::Gone;
        }
        if self.segments.back().is_some_and(|s| sequence <= s.sequence) {
            return Standing::Here;
        }
        let (edge, parts) = self.edge().unwrap_or((self.next_sequence, 0));
        let here = part.is_some_and(|p| sequence == edge && p < parts);
        match sequence - edge.min(sequence) {
            _ if here => Standing::Here,
            _ if self.ended => Standing::Unknown,
            0 | 1 => Standing::Soon,
            _ => Standing::Unknown,
        }
    }
}
