//! Counts players: segments are fetched without a lasting connection, so players are known by
//! their requests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A player without a request for this long has left.
const GONE_AFTER: Duration = Duration::from_secs(15);

/// Maximum number of remembered addresses; further players are served but not counted.
const VIEWERS_MAX: usize = 10_000;

/// The players of one stream, distinguished by address.
pub(super) struct Viewers(Mutex<LastRequest>);

struct LastRequest {
    last: Instant,
    viewers: HashMap<String, Instant>,
}

impl Default for Viewers {
    fn default() -> Self {
        Self(Mutex::new(LastRequest { last: Instant::now(), viewers: HashMap::new() }))
    }
}

impl Viewers {
    /// Notes a request of the player at this address.
    pub(super) fn touch(&self, viewer: &str) {
        let now = Instant::now();
        let mut seen = self.lock();
        seen.last = now;
        if let Some(at) = seen.viewers.get_mut(viewer) {
            *at = now;
        } else if seen.viewers.len() < VIEWERS_MAX {
            seen.viewers.insert(viewer.to_owned(), now);
        }
    }

    /// Time since the last request.
    pub(super) fn idle(&self) -> Duration {
        self.lock().last.elapsed()
    }

    /// Number of players.
    pub(super) fn count(&self) -> usize {
        let mut seen = self.lock();
        seen.viewers.retain(|_, at| at.elapsed() < GONE_AFTER);
        seen.viewers.len()
    }

    fn lock(&self) -> MutexGuard<'_, LastRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
