//! Counts players: segments are fetched without a lasting connection, so players are known by
//! their requests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::media::{IgnorePoison, Protocol};

/// A player without a request for this long has left.
const GONE_AFTER: Duration = Duration::from_secs(15);

/// Maximum number of remembered players; further players are served but not counted.
const VIEWERS_MAX: usize = 10_000;

/// The players of one stream, distinguished by protocol and address.
pub(super) struct Viewers(Mutex<LastRequest>);

struct LastRequest {
    last: Instant,
    viewers: HashMap<(Protocol, String), Instant>,
}

impl Default for Viewers {
    fn default() -> Self {
        Self(Mutex::new(LastRequest { last: Instant::now(), viewers: HashMap::new() }))
    }
}

impl Viewers {
    /// Notes a request of the player at this address.
    pub(super) fn touch(&self, protocol: Protocol, address: &str) {
        let now = Instant::now();
        let viewer = (protocol, address.to_owned());
        let mut seen = self.lock();
        seen.last = now;
        if seen.viewers.len() < VIEWERS_MAX || seen.viewers.contains_key(&viewer) {
            seen.viewers.insert(viewer, now);
        }
    }

    /// Time since the last request.
    pub(super) fn idle(&self) -> Duration {
        self.lock().last.elapsed()
    }

    /// Number of players by a protocol; by any if it is `None`.
    pub(super) fn count(&self, protocol: Option<Protocol>) -> usize {
        let mut seen = self.lock();
        seen.viewers.retain(|_, at| at.elapsed() < GONE_AFTER);
        seen.viewers.keys().filter(|(by, _)| protocol.is_none_or(|asked| asked == *by)).count()
    }

    fn lock(&self) -> MutexGuard<'_, LastRequest> {
        self.0.lock().ignore_poison()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_are_counted_once_for_each_protocol() {
        let viewers = Viewers::default();
        for (protocol, address) in [
            (Protocol::Hls, "a"),
            (Protocol::Hls, "b"),
            (Protocol::Hls, "a"),
            (Protocol::Whep, "a"),
        ] {
            viewers.touch(protocol, address);
        }
        assert_eq!(viewers.count(Some(Protocol::Hls)), 2);
        assert_eq!(viewers.count(Some(Protocol::Whep)), 1);
        assert_eq!(viewers.count(None), 3);
    }
}
