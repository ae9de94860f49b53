//! The queue between the segment store and the disk: bounded, and never blocking the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::file_id::FileId;

/// Maximum number of queued segments.
const QUEUE_ITEMS_MAX: usize = 256;

/// Maximum number of queued bytes: what a disk that stands still costs beyond the memory of the segment
/// store.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A segment that is to be written.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) file: FileId,
    pub(super) data: Vec<Bytes>,
}

impl Item {
    pub(super) fn size(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }
}

/// The sending end.
pub(in crate::egress::segments) struct Queue {
    items: mpsc::SyncSender<Item>,
    bytes: Arc<AtomicUsize>,
}

/// The receiving end.
pub(super) struct Items {
    items: mpsc::Receiver<Item>,
    bytes: Arc<AtomicUsize>,
}

/// A queue.
pub(super) fn queue() -> (Queue, Items) {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_ITEMS_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { items: sender, bytes: bytes.clone() }, Items { items: receiver, bytes })
}

impl Queue {
    /// Queues a segment. Returns false if the disk is too far behind.
    pub(in crate::egress::segments) fn offer(&self, file: FileId, data: Vec<Bytes>) -> bool {
        let item = Item { file, data };
        let size = item.size();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > QUEUE_BYTES_MAX
            || self.items.try_send(item).is_err()
        {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        true
    }
}

impl Items {
    /// The next segment; `None` after this time without one.
    ///
    /// # Errors
    /// When the sending end is gone.
    pub(super) fn next(&self, max: Duration) -> Result<Option<Item>, mpsc::RecvError> {
        match self.items.recv_timeout(max) {
            Ok(item) => {
                self.bytes.fetch_sub(item.size(), Ordering::Relaxed);
                Ok(Some(item))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(mpsc::RecvError),
        }
    }
}
