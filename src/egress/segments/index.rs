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
        let (parts, gap) = (Vec::new(), false);
        self.open = Some(Segment { sequence, date, start, discontinuity, init, parts, gap });
        sequence
    }

    /// Closes the open segment and fills a gap of this duration with segments that players do not
    /// fetch, each at most `target` seconds long.
    pub(super) fn skip(&mut self, mut missing: Duration, target: u32) {
        self.close_segment();
        let target = Duration::from_secs(u64::from(target.max(1)));
        while let Some(last) = self.segments.back().filter(|_| !missing.is_zero()) {
            let (init, length) = (last.init, last.duration());
            let at = (last.start + length, last.date + length);
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

    /// Removes segments that are past the window and its grace period. Returns the number of the
    /// oldest remaining one.
    pub(in crate::egress) fn trim(&mut self, window: usize, target: u32) -> u64 {
        let grace = Duration::from_secs(u64::from(target * GRACE_TARGETS_COUNT));
        while self.segments.len() > window {
            let kept: Duration =
                self.segments.iter().rev().skip(window).map(Segment::duration).sum();
            let Some(oldest) = self.segments.front() else { break };
            if kept.saturating_sub(oldest.duration()) < grace && self.segments.len() < 4 * window {
                break;
            }
            self.drop_oldest();
        }
        self.oldest()
    }

    /// Removes the oldest complete segment. Returns the number of the oldest remaining one.
    pub(super) fn drop_oldest(&mut self) -> u64 {
        if let Some(gone) = self.segments.pop_front() {
            self.gone_discontinuities += u64::from(gone.discontinuity);
        }
        self.oldest()
    }

    fn oldest(&self) -> u64 {
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

    /// Numbers of the complete segments.
    pub(super) fn complete_numbers(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().map(|s| s.sequence)
    }

    /// Number of the complete segment with this initialisation section that is presented from this
    /// time, in ticks.
    pub(super) fn number_at(&self, init: u64, start: u64) -> Result<u64, SegmentError> {
        let found = self.segments.iter().find(|s| (s.init, ticks(s.start)) == (init, start));
        let oldest = self.segments.front();
        let gone = oldest.is_some_and(|s| (init, start) < (s.init, ticks(s.start)));
        let missing = if gone { SegmentError::Gone } else { SegmentError::Unknown };
        found.map(|segment| segment.sequence).ok_or(missing)
    }

    /// Duration of the longest segment, including the open one.
    pub(super) fn longest(&self) -> Duration {
        self.segments.iter().chain(&self.open).map(Segment::duration).max().unwrap_or_default()
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
