//! Which frame carries what.
//!
//! Captions are read in the order in which pictures are shown, frames come in the order in which
//! they are decoded: a picture that others refer to comes before those that are shown before it.
//! So when such a frame comes, the pieces for the frames that are still to come are made first and
//! kept for them. Nothing is delayed.
//!
//! Only what a stream has shown to do is reckoned with: pieces are kept for as many frames as were
//! seen to come late so far, and not for a time that the decoding time has passed. So a stream
//! without reordering loses nothing when frames are missing.

use std::collections::VecDeque;
use std::time::Duration;

/// A frame as it comes, in decoding order; times of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it is shown.
    pub pts: Duration,
    /// When it is decoded, where known.
    pub dts: Option<Duration>,
    /// How long it is shown, where known.
    pub duration: Option<Duration>,
}

/// A place in the order of presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it is shown.
    pub at: Duration,
    /// Time since the slot before, at most a quarter of a second.
    pub span: Duration,
}

/// What a frame carries.
pub trait Piece: Sized {
    /// Takes in what an earlier frame should have carried that never came, in front of its own.
    /// False when there is no room for it.
    fn absorb(&mut self, earlier: Self) -> bool;
}

/// What happened that should not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleStats {
    /// Pieces whose frame never came and that no other could take in.
    pub lost: u64,
    /// Frames for which there was no piece: the first ones that came late, and surplus ones.
    pub unplanned: u64,
    /// Jumps of the timestamps.
    pub jumps: u64,
}

/// Frames that may come late, at most: the most that H.264 and H.265 allow.
const DEPTH_MAX: usize = 16;

/// Frames after which a stream that had reordering and shows none has none.
const FORGET_AFTER: u32 = 300;

/// A step of more than this is a jump.
const JUMP: Duration = Duration::from_secs(1);

/// Longest span of a slot.
const SPAN_MAX: Duration = Duration::from_millis(250);

/// Distance of frames as long as nothing is known of it.
const STEP_DEFAULT: Duration = Duration::from_nanos(33_366_667);

/// Timestamps from which the distance of frames is learned.
const SEEN: usize = 16;

/// Gives pieces to frames; see the module.
#[derive(Debug)]
pub struct Schedule<T> {
    /// The last slot that was made.
    last: Option<Duration>,
    /// Slots since the frame before the last one in presentation; none: its frame has come.
    slots: VecDeque<(Duration, Option<T>)>,
    /// Newest presentation times, in order of coming.
    seen: VecDeque<Duration>,
    step: Duration,
    /// Most frames that came late in a row.
    depth: usize,
    late: usize,
    since_late: u32,
    /// Decoding times contradicted the frames.
    dts_is_wrong: bool,
    stats: ScheduleStats,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            last: None,
            slots: VecDeque::new(),
            seen: VecDeque::new(),
            step: STEP_DEFAULT,
            depth: 0,
            late: 0,
            since_late: 0,
            dts_is_wrong: false,
            stats: ScheduleStats::default(),
        }
    }
}

impl<T: Piece> Schedule<T> {
    /// The piece for a frame, made by `make`, which is called in the order of presentation. None
    /// for a frame that nobody reckoned with, whose time has its piece already.
    pub fn take(&mut self, frame: Frame, make: impl FnMut(Slot) -> T) -> Option<T> {
        self.learn(&frame);
        let Some(last) = self.last else { return self.start(frame, make) };
        let window = JUMP.max(self.step * (self.depth as u32 + 2));
        if frame.pts + window < last || frame.pts > last + JUMP {
            self.stats.jumps += 1;
            self.abandon();
            return self.start(frame, make);
        }
        let dts = frame.dts.filter(|_| !self.dts_is_wrong);
        if let Some(dts) = dts {
            self.carry_on(dts);
        }
        if frame.pts > last {
            Some(self.advance(frame.pts, last, dts, make))
        } else {
            let piece = self.claim(frame.pts);
            self.stats.unplanned += u64::from(piece.is_none());
            piece
        }
    }

    /// Whether frames come in another order than they are shown in.
    pub fn is_reordered(&self) -> bool {
        self.depth > 0
    }

    /// What happened so far.
    pub fn stats(&self) -> ScheduleStats {
        self.stats
    }

    /// The first frame, or the first one after a jump.
    fn start(&mut self, frame: Frame, mut make: impl FnMut(Slot) -> T) -> Option<T> {
        self.last = Some(frame.pts);
        self.slots.push_back((frame.pts, None));
        Some(make(Slot { at: frame.pts, span: self.step.min(SPAN_MAX) }))
    }

    /// A frame that is shown after all before it: makes the slots up to it.
    fn advance(
        &mut self,
        pts: Duration,
        last: Duration,
        dts: Option<Duration>,
        mut make: impl FnMut(Slot) -> T,
    ) -> T {
        self.abandon();
        let gap = (pts - last).as_secs_f64() / self.step.as_secs_f64();
        let between = (gap.round() as usize).saturating_sub(1).min(self.depth);
        let mut before = last;
        for n in (1..=between as u32).rev() {
            let at = pts.saturating_sub(self.step * n);
            let may_come = dts.is_none_or(|dts| at > dts + self.step / 2);
            if may_come && at > before + self.step / 4 {
                self.slots.push_back((at, Some(make(slot(before, at)))));
                before = at;
            }
        }
        self.slots.push_back((pts, None));
        self.last = Some(pts);
        make(slot(before, pts))
    }

    /// A frame that comes late: the piece of the nearest slot, unless a frame between has come.
    fn claim(&mut self, pts: Duration) -> Option<T> {
        let place = self.slots.partition_point(|(at, _)| *at < pts);
        let after = self.slots.get(place).filter(|(_, piece)| piece.is_some()).map(|_| place);
        let before = place.checked_sub(1).filter(|n| self.slots[*n].1.is_some());
        let distance = |n: usize| {
            let at = self.slots[n].0;
            at.max(pts) - at.min(pts)
        };
        let nearest = match (before, after) {
            (Some(before), Some(after)) if distance(before) < distance(after) => before,
            (before, after) => after.or(before)?,
        };
        let (at, piece) = &mut self.slots[nearest];
        *at = pts;
        piece.take()
    }

    /// Hands pieces of frames that can come no more to the next frame that can.
    fn carry_on(&mut self, dts: Duration) {
        while self.slots.front().is_some_and(|(at, _)| *at + self.step / 2 < dts) {
            let Some((_, Some(piece))) = self.slots.pop_front() else { continue };
            let taken = match self.slots.front_mut() {
                Some((_, Some(next))) => next.absorb(piece),
                _ => false,
            };
            self.stats.lost += u64::from(!taken);
        }
    }

    /// No frame comes for the slots that are left.
    fn abandon(&mut self) {
        let left = self.slots.drain(..).filter(|(_, piece)| piece.is_some()).count();
        self.stats.lost += left as u64;
    }

    /// Distance of frames, and how many come late.
    fn learn(&mut self, frame: &Frame) {
        let late = self.last.is_some_and(|last| frame.pts < last && frame.pts + JUMP > last);
        if late {
            self.late += 1;
            self.since_late = 0;
            self.depth = self.depth.max(self.late).min(DEPTH_MAX);
        } else {
            self.late = 0;
            self.since_late = self.since_late.saturating_add(1);
            if self.since_late > FORGET_AFTER {
                self.depth = 0;
            }
        }
        self.dts_is_wrong |= frame.dts.is_some_and(|dts| dts > frame.pts + self.step);
        if self.seen.len() == SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(frame.pts);
        let mut times: Vec<Duration> = self.seen.iter().copied().collect();
        times.sort_unstable();
        let mut steps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.retain(|step| *step > Duration::from_millis(1));
        steps.sort_unstable();
        let learned = steps.get(steps.len() / 2).filter(|_| steps.len() >= SEEN / 2).copied();
        let sane = |step: &Duration| (Duration::from_millis(4)..JUMP).contains(step);
        if let Some(step) = learned.or(frame.duration).filter(sane) {
            self.step = step;
        }
    }
}

fn slot(before: Duration, at: Duration) -> Slot {
    Slot { at, span: at.saturating_sub(before).min(SPAN_MAX) }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
