//! Complaints that strangers can cause: few of them reach the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one complaint a second through, so that a flood of strangers does not become a flood of
/// log lines. Cheap to clone.
#[derive(Clone, Default)]
pub struct Complaints(Arc<Mutex<(Option<Instant>, u64)>>);

impl Complaints {
    /// Whether to complain now, and how many complaints were kept back before.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.duration_since(last) < Duration::from_secs(1)) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_counted_while_they_are_kept_back() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.pass(start), Some(0));
        assert_eq!(complaints.pass(start), None);
        assert_eq!(complaints.pass(start + Duration::from_millis(900)), None);
        assert_eq!(complaints.pass(start + Duration::from_millis(1001)), Some(2));
    }
}
