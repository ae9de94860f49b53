//! Where the segments of an original track begin, so that those of its renditions begin there too.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::media::IgnorePoison;

/// Starts that are kept: encoders are a second behind at most, and segments shorter are not made.
const STARTS_MAX: usize = 16;

/// Distance at which two pictures are the same: containers round times to milliseconds, and the next
/// picture is 16 ms away.
const SAME_TOLERANCE: Duration = Duration::from_millis(5);

/// The running times at which the newest segments of an original begin.
#[derive(Debug, Default)]
pub struct SegmentStarts(Mutex<VecDeque<Duration>>);

impl SegmentStarts {
    /// A segment of the original begins with the picture shown at this time.
    pub(super) fn add(&self, start: Duration) {
        let mut starts = self.0.lock().ignore_poison();
        if starts.len() == STARTS_MAX {
            starts.pop_front();
        }
        starts.push_back(start);
    }

    /// Whether one begins with the picture shown at this time.
    pub(super) fn contains(&self, shown_at: Duration) -> bool {
        let starts = self.0.lock().ignore_poison();
        starts.iter().any(|start| start.abs_diff(shown_at) <= SAME_TOLERANCE)
    }
}
