//! The packets of one feed in one codec, and the shards that send them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::Packet;
use super::group::Group;

/// Packets of one frame on their way to a shard.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// The source's id.
    pub(super) source: u64,
    /// Packets in order.
    pub(super) packets: Arc<[Packet]>,
}

/// Takes the RTP packets of one feed. Cheap to clone.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    /// Different for each source of the process.
    id: u64,
    state: Mutex<State>,
    /// Notified when a viewer needs a key frame.
    keyframe: Notify,
    /// Packets that a shard was too busy for.
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    group: Group,
    /// Number of the last packet.
    last: Option<u64>,
    /// Queues of the shards with viewers of this source, with their numbers.
    shards: Vec<(usize, mpsc::Sender<Batch>)>,
}

impl Source {
    /// A source without packets and viewers.
    #[expect(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Inner {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
            keyframe: Notify::new(),
            lost: AtomicU64::new(0),
        }))
    }

    /// Sends the packets of one frame, in order. Never waits: a shard that is too busy loses them,
    /// counted, and its viewers ask for a key frame.
    pub fn push(&self, mut packets: Vec<Packet>) {
        let mut state = self.lock();
        for packet in &mut packets {
            packet.extend(state.last);
            state.last = Some(packet.number);
            state.group.push(packet);
        }
        let batch = Batch { source: self.0.id, packets: packets.into() };
        state.shards.retain(|(_, queue)| match queue.try_send(batch.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(batch)) => {
                self.0.lost.fetch_add(batch.packets.len() as u64, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    /// The media before the next packet is of no use to viewers that join later.
    pub fn clear(&self) {
        self.lock().group.clear();
    }

    /// Waits until a viewer needs a key frame. Several requests at once count as one.
    pub async fn keyframe_wanted(&self) {
        self.0.keyframe.notified().await;
    }

    /// Packets lost because a shard was too busy.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Requests a key frame.
    pub(super) fn request_keyframe(&self) {
        self.0.keyframe.notify_one();
    }

    /// The id of its batches.
    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    /// A viewer of a shard joins: the current group at the live edge, and the number of the last
    /// packet in it. Batches go to the shard's queue from then on.
    pub(super) fn join(
        &self,
        shard: usize,
        queue: &mpsc::Sender<Batch>,
        clock_rate_hz: u32,
    ) -> (Vec<Packet>, Option<u64>) {
        let mut state = self.lock();
        if state.shards.iter().all(|(number, _)| *number != shard) {
            state.shards.push((shard, queue.clone()));
        }
        (state.group.squeezed(clock_rate_hz), state.last)
    }

    /// The last viewer of a shard has left.
    pub(super) fn leave(&self, shard: usize) {
        self.lock().shards.retain(|(number, _)| *number != shard);
    }

    /// Whether both are handles of one source.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves packets that are still in order.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.0.id)
    }
}
