//! A consumer's membership of a feed.

use std::sync::{Arc, Weak};

use super::consumer::LinkStats;
use super::inner::Inner;

/// One consumer's membership; dropping it leaves the feed.
pub struct Link {
    feed: Weak<Inner>,
    id: u64,
    stats: Arc<LinkStats>,
}

impl Link {
    pub(super) fn new(feed: Weak<Inner>, id: u64, stats: Arc<LinkStats>) -> Self {
        Self { feed, id, stats }
    }

    /// Totals of this consumer.
    pub fn stats(&self) -> &Arc<LinkStats> {
        &self.stats
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            feed.lock().consumers.retain(|c| c.id != self.id);
        }
    }
}
