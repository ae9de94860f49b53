//! The queue between the pipeline and the disk: bounded, and never blocking the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::egress::segments::fmp4::{Chunk, TrackInfo};
use crate::media::Kind;

/// Maximum number of queued items: half a minute of two tracks.
const QUEUE_ITEMS_MAX: usize = 128;

/// Maximum number of queued bytes.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// An item for the writer.
#[derive(Debug)]
pub(super) enum Item {
    /// A track begins or changes.
    Track(TrackInfo),
    /// The next chunk of a track.
    Chunk(Kind, Chunk),
}

#[derive(Default)]
struct Totals {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The sending end of the queue for one track.
pub(super) struct Sender {
    items: mpsc::SyncSender<Item>,
    totals: Arc<Totals>,
    /// Whether a chunk was lost: nothing can be decoded until the next key frame.
    starved: bool,
}

/// The receiving end of the queue.
pub(super) struct Receiver {
    items: mpsc::Receiver<Item>,
    totals: Arc<Totals>,
}

/// A queue; clone the sender for each track.
pub(super) fn queue() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_ITEMS_MAX);
    let totals = Arc::new(Totals::default());
    let sender = Sender { items: sender, totals: totals.clone(), starved: false };
    (sender, Receiver { items: receiver, totals })
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), totals: self.totals.clone(), starved: false }
    }
}

impl Sender {
    /// Announces a track. Has no effect if the writer is gone.
    pub(super) fn track(&mut self, info: TrackInfo) {
        // If the announcement does not fit, the chunks of the track are dropped too.
        self.starved = self.items.try_send(Item::Track(info)).is_err();
    }

    /// Queues a chunk, or drops it if the disk is too far behind.
    pub(super) fn chunk(&mut self, kind: Kind, chunk: Chunk) {
        let size = chunk.size();
        let queued = self.totals.bytes.load(Ordering::Relaxed);
        let undecodable = self.starved && !chunk.key();
        let sent = !undecodable && queued + size <= QUEUE_BYTES_MAX && {
            self.totals.bytes.fetch_add(size, Ordering::Relaxed);
            let sent = self.items.try_send(Item::Chunk(kind, chunk)).is_ok();
            if !sent {
                self.totals.bytes.fetch_sub(size, Ordering::Relaxed);
            }
            sent
        };
        self.starved = !sent;
        if !sent {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Receiver {
    /// The next item. `None` when every sender is gone.
    pub(super) fn next(&self) -> Option<Item> {
        let item = self.items.recv().ok()?;
        if let Item::Chunk(_, chunk) = &item {
            self.totals.bytes.fetch_sub(chunk.size(), Ordering::Relaxed);
        }
        Some(item)
    }

    /// Number of chunks dropped because the disk was behind.
    pub(super) fn dropped(&self) -> u64 {
        self.totals.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::segments::fmp4::{Cut, Sample};
    use bytes::Bytes;
    use std::time::Duration;

    fn chunk(key: bool, size: usize) -> Chunk {
        let data = Bytes::from(vec![0; size]);
        let sample = Sample { duration: 1, composition: 0, key, data };
        Chunk {
            start: 0,
            shown_at: Duration::ZERO,
            duration: 1,
            cut: Cut::Chunk,
            samples: vec![sample],
        }
    }

    #[test]
    fn a_disk_that_stands_still_costs_bounded_memory_and_whole_groups_of_pictures() {
        let (mut sender, receiver) = queue();
        for _ in 0..10 {
            sender.chunk(Kind::Video, chunk(true, QUEUE_BYTES_MAX / 4));
        }
        assert_eq!(receiver.dropped(), 6, "four fill the queue");
        assert!(receiver.next().is_some());
        sender.chunk(Kind::Video, chunk(false, 1));
        assert_eq!(receiver.dropped(), 7, "what cannot be decoded is not written");
        sender.chunk(Kind::Video, chunk(true, 1));
        sender.chunk(Kind::Video, chunk(false, 1));
        assert_eq!(receiver.dropped(), 7);
        drop(sender);
        assert_eq!(std::iter::from_fn(|| receiver.next()).count(), 5);
    }
}
