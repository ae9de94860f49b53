//! Whether a stream may use the engine now.
//!
//! Pure: is given the outcome of each frame and `now`. An engine counts as good after five frames
//! in time (100 ms). It rests for 10, 30, then 120 seconds after it missed three deadlines within
//! two seconds. A single miss costs its own frame and the next five.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::engine::CodecError;

/// Waits after the first, second, and every later failure of the engine.
const BACK_OFF: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(120)];
/// A failure this long ago is forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);
/// Frames in time before the engine counts as good.
const PROBATION_FRAMES: u32 = 5;
/// This many misses within [`MISS_WINDOW`] are a failure.
const MISSED_FRAMES_MAX: usize = 3;
/// Period of [`MISSED_FRAMES_MAX`].
const MISS_WINDOW: Duration = Duration::from_secs(2);

/// How long a failed engine rests: longer each time.
#[derive(Clone, Debug, Default)]
pub struct BackOff {
    failures: usize,
    failed: Option<Instant>,
}

impl BackOff {
    /// Records a failure.
    pub fn failed(&mut self, now: Instant) {
        let long_ago = |at: Instant| now.saturating_duration_since(at) > FORGIVEN_AFTER;
        if self.failed.is_some_and(long_ago) {
            self.failures = 0;
        }
        self.failures += 1;
        self.failed = Some(now);
    }

    /// Whether the engine must still rest.
    pub fn is_on(&self, now: Instant) -> bool {
        let wait = BACK_OFF[self.failures.clamp(1, BACK_OFF.len()) - 1];
        self.failed.is_some_and(|at| now.saturating_duration_since(at) < wait)
    }
}

/// Watches the engine for one stream.
#[derive(Clone, Debug, Default)]
pub struct EngineHealth {
    back_off: BackOff,
    misses: VecDeque<Instant>,
    /// Frames in time since the last late one.
    good: u32,
    total: u64,
}

impl EngineHealth {
    /// Whether to send the next frame to the engine.
    pub fn may_ask(&self, now: Instant) -> bool {
        !self.back_off.is_on(now)
    }

    /// A frame was in time; returns whether it may be used. `trusted`: the engine need not prove
    /// itself, because the stream waits for it.
    pub fn came(&mut self, trusted: bool) -> bool {
        self.good = self.good.saturating_add(1);
        trusted || self.good > PROBATION_FRAMES
    }

    /// A frame failed.
    pub fn failed(&mut self, error: &CodecError, now: Instant) {
        match error {
            // The engine was not tried, and asking again costs nothing.
            CodecError::NotThere(_) | CodecError::Starting => {}
            CodecError::Altered => self.back_off.failed(now),
            CodecError::Late(_) => {
                self.total += 1;
                self.misses.push_back(now);
                let old = |at: &Instant| now.saturating_duration_since(*at) > MISS_WINDOW;
                while self.misses.front().is_some_and(old) {
                    self.misses.pop_front();
                }
                if self.misses.len() >= MISSED_FRAMES_MAX {
                    self.misses.clear();
                    self.back_off.failed(now);
                }
            }
        }
        self.good = 0;
    }

    /// The stream did not use the engine for a while: it must prove itself again.
    pub fn rested(&mut self) {
        self.good = 0;
    }

    /// Deadlines missed so far.
    pub fn misses(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_frames_in_time_are_trusted() {
        let mut watch = EngineHealth::default();
        let used: Vec<bool> = (0..7).map(|_| watch.came(false)).collect();
        assert_eq!(used, [false, false, false, false, false, true, true]);
        watch.failed(&CodecError::Late(Duration::ZERO), Instant::now());
        assert!(!watch.came(false) && watch.came(true));
    }

    #[test]
    fn each_failure_rests_longer() {
        let (mut watch, now) = (EngineHealth::default(), Instant::now());
        for wait in [10, 30, 120, 120] {
            watch.failed(&CodecError::Altered, now);
            let over = now + Duration::from_secs(wait);
            assert!(
                !watch.may_ask(over - Duration::from_millis(1)) && watch.may_ask(over),
                "{wait}"
            );
        }
    }

    #[test]
    fn three_misses_in_two_seconds_are_a_failure_and_three_in_ten_are_none() {
        let (late, now) = (CodecError::Late(Duration::ZERO), Instant::now());
        let after = |gap| {
            let (mut watch, mut at) = (EngineHealth::default(), now);
            for _ in 0..3 {
                at += Duration::from_millis(gap);
                watch.came(false);
                watch.failed(&late, at);
            }
            assert_eq!(watch.misses(), 3);
            watch.may_ask(at)
        };
        assert!(!after(500));
        assert!(after(3_000));
    }

    #[test]
    fn an_engine_that_was_never_there_may_be_asked_every_frame() {
        let (mut watch, now) = (EngineHealth::default(), Instant::now());
        for _ in 0..100 {
            watch.failed(&CodecError::NotThere(String::new()), now);
            watch.failed(&CodecError::Starting, now);
        }
        assert!(watch.may_ask(now));
    }
}
