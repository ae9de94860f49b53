//! Assigns captions to frames.
//!
//! Decoders read captions in the order of presentation, but frames arrive in decoding order: a
//! reference picture arrives before the pictures that are displayed before it. When such a frame
//! arrives, the pieces for the frames in between are made first and kept for them. Nothing is
//! delayed.
//!
//! The schedule expects only what the stream has shown: it keeps pieces for at most as many frames
//! as have come late so far, and not for times that the decoding time has passed. So a stream
//! without reordering loses nothing when frames are missing.

use std::collections::VecDeque;
use std::time::Duration;

/// A frame, in decoding order; all times of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Presentation time.
    pub pts: Duration,
    /// Decoding time, if known.
    pub dts: Option<Duration>,
    /// Duration, if known.
    pub duration: Option<Duration>,
}

/// A place in the order of presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Presentation time.
    pub at: Duration,
    /// Time since the previous slot, at most a quarter of a second.
    pub span: Duration,
}

/// The content of a frame.
pub trait Piece: Sized {
    /// Prepends the content of an earlier frame that never came. Returns false if there is no room.
    fn absorb(&mut self, earlier: Self) -> bool;
}

/// Irregularities so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleStats {
    /// Pieces whose frame never came and that no other frame could absorb.
    pub lost: u64,
    /// Frames without a piece: the first late ones, and unexpected ones.
    pub unplanned: u64,
    /// Jumps of the timestamps.
    pub jumps: u64,
}

/// Most frames that may come late: the limit of H.264 and H.265.
const REORDERED_FRAMES_MAX: usize = 16;

/// Frames without reordering after which a stream counts as not reordered.
const IN_ORDER_FRAMES: u32 = 300;

/// A step of more than this is a jump.
const JUMP_MIN: Duration = Duration::from_secs(1);

/// Longest span of a slot.
const SPAN_MAX: Duration = Duration::from_millis(250);

/// Distance of frames before it is learnt.
const STEP_DEFAULT: Duration = Duration::from_nanos(33_366_667);

/// Number of timestamps from which the distance of frames is learnt.
const LEARNING_TIMESTAMPS: usize = 16;

/// Assigns pieces to frames.
#[derive(Debug)]
pub struct Schedule<T> {
    /// The latest slot.
    last: Option<Duration>,
    /// Slots since the second to last frame in presentation order; `None`: the frame has come.
    slots: VecDeque<(Duration, Option<T>)>,
    /// Newest presentation times, in order of arrival.
    seen: VecDeque<Duration>,
    step: Duration,
    /// Most frames that came late in a row.
    depth: usize,
    late: usize,
    since_late: u32,
    /// Whether decoding times contradicted the frames.
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
    /// Returns the piece for a frame. `make` is called in the order of presentation. `None` for an
    /// unexpected frame, whose time already has its piece.
    pub fn take(&mut self, frame: Frame, make: impl FnMut(Slot) -> T) -> Option<T> {
        self.learn(&frame);
        let Some(last) = self.last else { return self.start(frame, make) };
        let window = JUMP_MIN.max(self.step * (self.depth as u32 + 2));
        if frame.pts + window < last || frame.pts > last + JUMP_MIN {
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

    /// Whether decoding order differs from presentation order.
    pub fn is_reordered(&self) -> bool {
        self.depth > 0
    }

    /// Irregularities so far.
    pub fn stats(&self) -> ScheduleStats {
        self.stats
    }

    /// Handles the first frame, or the first after a jump.
    fn start(&mut self, frame: Frame, mut make: impl FnMut(Slot) -> T) -> Option<T> {
        self.last = Some(frame.pts);
        self.slots.push_back((frame.pts, None));
        Some(make(Slot { at: frame.pts, span: self.step.min(SPAN_MAX) }))
    }

    /// Handles a frame later than all before it: makes the slots up to it.
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

    /// Handles a late frame: returns the piece of the nearest slot, unless its frame has come.
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

    /// Passes pieces of frames that can no longer come to the next slot.
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

    /// Drops the remaining slots: no frame will come for them.
    fn abandon(&mut self) {
        let left = self.slots.drain(..).filter(|(_, piece)| piece.is_some()).count();
        self.stats.lost += left as u64;
    }

    /// Learns the distance of frames, and how many come late.
    fn learn(&mut self, frame: &Frame) {
        let late = self.last.is_some_and(|last| frame.pts < last && frame.pts + JUMP_MIN > last);
        if late {
            self.late += 1;
            self.since_late = 0;
            self.depth = self.depth.max(self.late).min(REORDERED_FRAMES_MAX);
        } else {
            self.late = 0;
            self.since_late = self.since_late.saturating_add(1);
            if self.since_late > IN_ORDER_FRAMES {
                self.depth = 0;
            }
        }
        self.dts_is_wrong |= frame.dts.is_some_and(|dts| dts > frame.pts + self.step);
        if self.seen.len() == LEARNING_TIMESTAMPS {
            self.seen.pop_front();
        }
        self.seen.push_back(frame.pts);
        let mut times: Vec<Duration> = self.seen.iter().copied().collect();
        times.sort_unstable();
        let mut steps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.retain(|step| *step > Duration::from_millis(1));
        steps.sort_unstable();
        let learned =
            steps.get(steps.len() / 2).filter(|_| steps.len() >= LEARNING_TIMESTAMPS / 2).copied();
        let sane = |step: &Duration| (Duration::from_millis(4)..JUMP_MIN).contains(step);
        if let Some(step) = learned.or(frame.duration).filter(sane) {
            self.step = step;
        }
    }
}

fn slot(before: Duration, at: Duration) -> Slot {
    Slot { at, span: at.saturating_sub(before).min(SPAN_MAX) }
}

#[cfg(test)]
mod tests;
