//! Which segments of a track belong to which period, and their times in ticks.

use std::time::Duration;

use crate::egress::segments::{Segment, SegmentList, TICKS_PER_S, ticks};

/// A segment that begins this close to the end of the one before continues it: numbers of B-frames
/// differ from segment to segment. In ticks: 0.1 s.
const CONTINUES_TICKS: u64 = TICKS_PER_S as u64 / 10;

/// Segments of a track with one initialisation section.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// Number of its discontinuity: 0 for the start of the stream.
    pub(super) epoch: u64,
    pub(super) init: u64,
    pub(super) segments: Vec<&'a Segment>,
}

/// The complete segments by discontinuity, without those that are gaps.
pub(super) fn runs(list: &SegmentList) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut epoch = list.discontinuities;
    for (index, segment) in list.complete.iter().enumerate() {
        epoch += u64::from(segment.discontinuity && index > 0);
        if segment.gap {
            continue;
        }
        match runs.last_mut().filter(|run| (run.epoch, run.init) == (epoch, segment.init)) {
            Some(run) => run.segments.push(segment),
            None => runs.push(Run { epoch, init: segment.init, segments: vec![segment] }),
        }
    }
    runs
}

/// Consecutive segments of equal duration: an `S` element. Times in ticks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) duration: u64,
    /// Number of further segments like the first.
    pub(super) repeat: u32,
}

/// The time-line of segments: starts, and durations up to the next start. Players fetch a segment by
/// its start, so starts are exact. `zero` is added to them.
pub(super) fn stretches(segments: &[&Segment], zero: Duration) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let (start, own) = (ticks(zero + segment.start), ticks(segment.length));
        let next = segments.get(index + 1).map(|next| ticks(zero + next.start));
        let until =
            next.filter(|next| *next > start && next.abs_diff(start + own) <= CONTINUES_TICKS);
        let duration = until.map_or(own, |next| next - start).max(1);
        match stretches.last_mut() {
            Some(last)
                if last.duration == duration
                    && last.start + last.duration * u64::from(last.repeat + 1) == start =>
            {
                last.repeat += 1;
            }
            _ => stretches.push(Stretch { start, duration, repeat: 0 }),
        }
    }
    stretches
}
