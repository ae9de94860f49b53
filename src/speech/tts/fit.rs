//! Dubbed speech in the time of the original: a plain type that takes `now` and says when and how
//! fast each phrase plays.
//!
//! A translation takes longer to say than its original, and its making takes time too. A phrase
//! that does not fit into its slot is spoken faster, up to a limit: first the engine is asked to,
//! the rest is done by [`super::stretch`]. What still overruns goes into the pause behind it; later
//! phrases catch up. A phrase that would come too late is dropped, and said so with its text.

use std::time::Duration;

use serde::Serialize;

/// How far fitting may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Fastest speech, against the voice's own pace.
    pub speed_max: f32,
    /// How late a phrase may begin, against its place.
    pub late_max: Duration,
    /// How long after the original a phrase is to be heard: what translation and synthesis need.
    pub delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { speed_max: 1.25, late_max: Duration::from_secs(6), delay: Duration::from_secs(3) }
    }
}

/// When the original was said, in running time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its first sound.
    pub start: Duration,
    /// Its last.
    pub end: Duration,
}

/// What becomes of a phrase.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// It plays.
    Play {
        /// Running time at which it begins.
        at: Duration,
        /// How much faster than it was made it plays: for [`super::stretch`]; 1 where it fits.
        speed: f32,
        /// How long it plays then.
        length: Duration,
    },
    /// It would be too late.
    Drop(Dropped),
}

/// A phrase that is not heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// What it said.
    pub text: String,
    /// How late it would have begun.
    pub late: Duration,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Phrases that were placed.
    pub placed: u64,
    /// Of these, those that are spoken faster than at the voice's own pace.
    pub hurried: u64,
    /// Phrases that were dropped.
    pub dropped: u64,
}

/// Places the phrases of one language, in the order of the original.
#[derive(Clone, Debug)]
pub struct Fitter {
    limits: Limits,
    /// When what was placed so far has been said.
    free_at: Duration,
    /// Seconds that a character takes at the voice's own pace, learnt.
    pace: f64,
    counts: Counts,
}

/// Seconds a character before anything is learnt: 15 a second, as most languages are spoken.
const PACE: f64 = 1.0 / 15.0;

/// Weight of the newest phrase in what is learnt.
const LEARNING: f64 = 0.2;

impl Fitter {
    /// Nothing placed yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, free_at: Duration::ZERO, pace: PACE, counts: Counts::default() }
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When what was placed so far has been said.
    pub fn free_at(&self) -> Duration {
        self.free_at
    }

    /// The rate to ask an engine for, 1 to the limit, so that a text will fit.
    pub fn rate_for(&self, now: Duration, slot: Slot, text: &str) -> f32 {
        let natural = Duration::from_secs_f64(self.pace * text.chars().count() as f64);
        self.needed(self.begin(now, slot), slot, natural).clamp(1.0, self.limits.speed_max)
    }

    /// Places a phrase that an engine made in `length` when asked for `rate` (a factor on the
    /// voice's own pace, which [`Self::rate_for`] gave).
    pub fn place(
        &mut self,
        now: Duration,
        slot: Slot,
        length: Duration,
        rate: f32,
        text: &str,
    ) -> Placement {
        let rate = if rate.is_finite() { rate.max(0.1) } else { 1.0 };
        self.learn(length.mul_f64(rate.into()), text);
        let at = self.begin(now, slot);
        let late = at.saturating_sub(self.target(slot));
        if late > self.limits.late_max {
            self.counts.dropped += 1;
            return Placement::Drop(Dropped { text: text.to_owned(), late });
        }
        // The limit holds for the engine's haste and ours together.
        let left = (self.limits.speed_max / rate).max(1.0);
        let speed = self.needed(at, slot, length).clamp(1.0, left);
        let length = length.div_f64(speed.into());
        self.free_at = at + length;
        self.counts.placed += 1;
        if speed > 1.005 || rate > 1.005 {
            self.counts.hurried += 1;
        }
        Placement::Play { at, speed, length }
    }

    /// Where a phrase should begin.
    fn target(&self, slot: Slot) -> Duration {
        slot.start + self.limits.delay
    }

    /// Where it can: not in the past, and not over the one before.
    fn begin(&self, now: Duration, slot: Slot) -> Duration {
        self.target(slot).max(now).max(self.free_at)
    }

    /// The speed at which a phrase ends with its slot; infinite behind it.
    fn needed(&self, at: Duration, slot: Slot, length: Duration) -> f32 {
        let end = slot.end.max(slot.start) + self.limits.delay;
        let room = end.saturating_sub(at);
        if length.is_zero() {
            return 1.0;
        }
        // Division by nothing is the infinity that it should be.
        (length.as_secs_f64() / room.as_secs_f64()) as f32
    }

    fn learn(&mut self, natural: Duration, text: &str) {
        let characters = text.chars().count();
        // A word alone says little of the pace.
        if characters >= 10 {
            let pace = (natural.as_secs_f64() / characters as f64).clamp(PACE / 5.0, PACE * 5.0);
            self.pace += LEARNING * (pace - self.pace);
        }
    }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
