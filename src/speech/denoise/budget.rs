//! The processor time that a network may take, and when it is tried again after it took too much.

use std::time::Duration;

/// Frames over which time is counted: one second.
const WINDOW_FRAMES: u32 = 100;

/// Time that the network may take in one window: 0.7 of real time. The rest is for the decoder and
/// the encoders on the same thread, and for a processor that slows down.
const WINDOW_BUDGET: Duration = Duration::from_millis(700);

/// Shortest and longest time without the network after it was late: 10 s and 5 min. Each time in
/// succession is twice as long as the one before.
const REST_FRAMES_MIN: u64 = 1_000;
const REST_FRAMES_MAX: u64 = 30_000;

/// After one minute in time the next rest is the shortest again.
const CALM_FRAMES: u64 = 6_000;

/// Counts the time of a network against the time of its audio.
#[derive(Debug)]
pub(super) struct Budget {
    /// Without a limit it only measures: for files, which may take as long as they take.
    limited: bool,
    frames: u32,
    spent: Duration,
    /// Frames in time since the last rest.
    calm_frames: u64,
    /// Frames of rest that are left.
    rest_frames: u64,
    next_rest_frames: u64,
    fallbacks: u64,
    real_time_factor: Option<f32>,
}

impl Budget {
    pub(super) fn new(limited: bool) -> Self {
        Self {
            limited,
            frames: 0,
            spent: Duration::ZERO,
            calm_frames: 0,
            rest_frames: 0,
            next_rest_frames: REST_FRAMES_MIN,
            fallbacks: 0,
            real_time_factor: None,
        }
    }

    /// Counts one processed frame. A network that has spent the budget of its window rests from now
    /// on, so that it never delays the stream by more than that.
    pub(super) fn spend(&mut self, took: Duration) {
        self.spent += took;
        self.frames += 1;
        if self.limited && self.spent > WINDOW_BUDGET {
            self.fallbacks += 1;
            self.rest_frames = self.next_rest_frames;
            self.next_rest_frames = (self.next_rest_frames * 2).min(REST_FRAMES_MAX);
            self.calm_frames = 0;
            self.close_window();
        } else if self.frames == WINDOW_FRAMES {
            self.calm_frames += u64::from(WINDOW_FRAMES);
            if self.calm_frames >= CALM_FRAMES {
                self.next_rest_frames = REST_FRAMES_MIN;
            }
            self.close_window();
        }
    }

    fn close_window(&mut self) {
        let heard = Duration::from_millis(10) * self.frames;
        self.real_time_factor = Some(self.spent.as_secs_f32() / heard.as_secs_f32());
        self.frames = 0;
        self.spent = Duration::ZERO;
    }

    /// Counts one frame of rest.
    pub(super) fn rest(&mut self) {
        self.rest_frames = self.rest_frames.saturating_sub(1);
    }

    /// Whether the network has to rest.
    pub(super) fn is_resting(&self) -> bool {
        self.rest_frames > 0
    }

    /// How often the network was late.
    pub(super) fn fallbacks(&self) -> u64 {
        self.fallbacks
    }

    /// Processing time per time of audio in the last window.
    pub(super) fn real_time_factor(&self) -> Option<f32> {
        self.real_time_factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames until the network may run again.
    fn rest(budget: &mut Budget) -> u64 {
        let mut frames = 0;
        while budget.is_resting() {
            budget.rest();
            frames += 1;
        }
        frames
    }

    #[test]
    fn a_late_network_rests_longer_each_time() {
        let mut budget = Budget::new(true);
        for (nth, expected) in
            [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].iter().enumerate()
        {
            let mut frames = 0;
            while !budget.is_resting() {
                budget.spend(Duration::from_millis(30));
                frames += 1;
            }
            assert_eq!(frames, 24, "after 0.7 s of work, not after a window of 3 s");
            assert_eq!(budget.fallbacks(), nth as u64 + 1);
            assert_eq!(rest(&mut budget), *expected);
        }
        assert!(budget.real_time_factor().is_some_and(|factor| (2.9..3.1).contains(&factor)));
    }

    #[test]
    fn a_minute_in_time_forgets_earlier_lateness() {
        let mut budget = Budget::new(true);
        let late = |budget: &mut Budget| {
            budget.spend(Duration::from_secs(1));
            rest(budget)
        };
        assert_eq!((late(&mut budget), late(&mut budget)), (1_000, 2_000));
        (0..CALM_FRAMES).for_each(|_| budget.spend(Duration::from_millis(6)));
        assert_eq!(budget.real_time_factor(), Some(0.6));
        assert_eq!(late(&mut budget), 1_000);
    }

    #[test]
    fn without_a_limit_it_only_measures() {
        let mut budget = Budget::new(false);
        (0..WINDOW_FRAMES).for_each(|_| budget.spend(Duration::from_millis(50)));
        assert_eq!((budget.is_resting(), budget.real_time_factor()), (false, Some(5.0)));
    }
}
