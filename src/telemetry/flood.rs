//! Keeps floods of similar lines out of the log.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::media::IgnorePoison;

/// Least time between two lines about the same subject.
const SUBJECT_INTERVAL: Duration = Duration::from_secs(10);

/// Most lines in a burst, of all subjects together.
const BURST_LINES_MAX: u32 = 20;

/// Time after which one more line may pass after a burst.
const REFILL_INTERVAL: Duration = Duration::from_secs(1);

/// Decides which of many lines about unknown clients are written: one in ten seconds per subject
/// (such as a caller), 20 at once of all subjects and then one per second. The next line that
/// passes states how many were suppressed.
#[derive(Default)]
pub struct LogLimiter(Mutex<State>);

#[derive(Default)]
struct State {
    /// When a line about each subject passed, by its hash. Entries expire after
    /// [`SUBJECT_INTERVAL`], and only lines that pass are stored, so there are at most a burst plus
    /// ten.
    told: HashMap<u64, Instant>,
    /// Used lines of the burst, as of `at`.
    used: u32,
    at: Option<Instant>,
    kept_back: u64,
}

impl LogLimiter {
    /// Whether to write a line about `subject` now, and how many lines were suppressed before it.
    pub fn pass(&self, subject: impl Hash, now: Instant) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let mut state = self.0.lock().ignore_poison();
        state.refill(now);
        state.told.retain(|_, at| now.saturating_duration_since(*at) < SUBJECT_INTERVAL);
        if state.used >= BURST_LINES_MAX || state.told.contains_key(&hasher.finish()) {
            state.kept_back += 1;
            return None;
        }
        state.told.insert(hasher.finish(), now);
        state.used += 1;
        Some(std::mem::take(&mut state.kept_back))
    }
}

impl State {
    fn refill(&mut self, now: Instant) {
        let since = *self.at.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_secs() / REFILL_INTERVAL.as_secs();
        if passed > 0 {
            self.used = self.used.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
            self.at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_told_once_in_ten_seconds_with_what_was_kept_back() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(limiter.pass("a", at(0)), Some(0));
        assert_eq!(limiter.pass("a", at(1)), None);
        assert_eq!(limiter.pass("a", at(9_999)), None);
        assert_eq!(limiter.pass("b", at(9_999)), Some(2));
        assert_eq!(limiter.pass("a", at(10_000)), Some(0));
    }

    #[test]
    fn a_flood_of_strangers_is_a_few_lines() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        let told = |from_s: u64, callers: u64| {
            let pass = |n: u64| limiter.pass((from_s, n), start + Duration::from_secs(from_s));
            (0..callers).filter_map(pass).count()
        };
        assert_eq!(told(0, 10_000), 20);
        assert_eq!(told(1, 10_000), 1);
        assert_eq!(told(5, 10_000), 4);
        assert_eq!(told(3600, 10_000), 20);
        assert!(limiter.0.lock().expect("no panic").told.len() <= 32);
    }
}
