//! Fits dubbed speech into the time of the original: a plain type that takes `now` and returns when
//! and how fast each phrase plays.
//!
//! A translation often takes longer to speak than its original, and producing it takes time too. A
//! phrase that does not fit into its slot is spoken faster, up to a limit: first by the engine's
//! rate, then by [`super::stretch`]. What still overruns extends into the following pause; later
//! phrases catch up. A phrase that would be too late is dropped and reported with its text.

use std::time::Duration;

use serde::Serialize;

/// Limits of the fitting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Fastest speech, as a factor on the voice's own pace.
    pub speed_max: f32,
    /// How much later than its target a phrase may begin.
    pub late_max: Duration,
    /// Delay of a phrase behind the original: the time for translation and synthesis.
    pub delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { speed_max: 1.25, late_max: Duration::from_secs(6), delay: Duration::from_secs(3) }
    }
}

/// When the original was spoken, in running time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Begin of the original.
    pub start: Duration,
    /// End of the original.
    pub end: Duration,
}

/// The decision about a phrase.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// It is played.
    Play {
        /// Running time at which it begins.
        at: Duration,
        /// Speed-up for [`super::stretch`]; 1 if the phrase fits.
        speed: f32,
        /// Duration at that speed.
        length: Duration,
    },
    /// It would be too late.
    Drop(Dropped),
}

/// A phrase that is not played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Its text.
    pub text: String,
    /// Delay with which it would have begun.
    pub late: Duration,
}

/// Running totals.
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
    /// When the phrases placed so far end, in running time.
    free_at: Duration,
    /// Seconds per character at the voice's own pace, learnt.
    pace: f64,
    counts: Counts,
}

/// Seconds per character before any are learnt: 15 characters a second, typical of most languages.
const PACE_S_PER_CHAR: f64 = 1.0 / 15.0;

/// Weight of the newest phrase in the learnt pace: about the last five phrases count.
const PACE_SMOOTHING_FACTOR: f64 = 0.2;

impl Fitter {
    /// A fitter without phrases.
    pub fn new(limits: Limits) -> Self {
        Self { limits, free_at: Duration::ZERO, pace: PACE_S_PER_CHAR, counts: Counts::default() }
    }

    /// Running totals.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When the phrases placed so far end, in running time.
    pub fn free_at(&self) -> Duration {
        self.free_at
    }

    /// The rate to ask an engine for so that a text fits: 1 to the limit.
    pub fn rate_for(&self, now: Duration, slot: Slot, text: &str) -> f32 {
        let natural = Duration::from_secs_f64(self.pace * text.chars().count() as f64);
        self.needed(self.begin(now, slot), slot, natural).clamp(1.0, self.limits.speed_max)
    }

    /// Places a phrase that an engine spoke in `length` at `rate` (a factor on the voice's own
    /// pace, from [`Self::rate_for`]).
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
        // The limit applies to the engine's rate and our stretching together.
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

    /// When a phrase should begin.
    fn target(&self, slot: Slot) -> Duration {
        slot.start + self.limits.delay
    }

    /// When it can begin: not in the past, and not before the previous phrase has ended.
    fn begin(&self, now: Duration, slot: Slot) -> Duration {
        self.target(slot).max(now).max(self.free_at)
    }

    /// The speed at which a phrase ends with its slot; infinite if the slot has ended.
    fn needed(&self, at: Duration, slot: Slot, length: Duration) -> f32 {
        let end = slot.end.max(slot.start) + self.limits.delay;
        let room = end.saturating_sub(at);
        if length.is_zero() {
            return 1.0;
        }
        // Division by zero gives the intended infinity.
        (length.as_secs_f64() / room.as_secs_f64()) as f32
    }

    fn learn(&mut self, natural: Duration, text: &str) {
        let characters = text.chars().count();
        // A single word is too short to measure the pace.
        if characters >= 10 {
            let pace = (natural.as_secs_f64() / characters as f64)
                .clamp(PACE_S_PER_CHAR / 5.0, PACE_S_PER_CHAR * 5.0);
            self.pace += PACE_SMOOTHING_FACTOR * (pace - self.pace);
        }
    }
}

#[cfg(test)]
mod tests;
