//! Signals from other threads to a stream. Sending one never blocks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::media::{IgnorePoison, Rung};

/// Signals to one stream. Cheap to clone; usable from threads that must not block, such as those of
/// GStreamer and libsrt.
#[derive(Clone, Default)]
pub(super) struct Signals(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Ids of publishers and viewers that have left. Bounded by their number: each leaves once.
    left: Mutex<Vec<u64>>,
    /// The rungs that viewers have chosen, by viewer; `None` is the source.
    chosen: Mutex<BTreeMap<u64, Option<Rung>>>,
    wake: Notify,
}

impl Signals {
    /// The callback for a publisher or viewer that leaves.
    pub(super) fn leave(&self, id: u64) -> Box<dyn FnOnce() + Send + Sync> {
        let signals = self.clone();
        Box::new(move || {
            signals.0.left.lock().ignore_poison().push(id);
            signals.wake();
        })
    }

    /// The callback by which a viewer chooses its rung. The last choice counts.
    pub(super) fn choose(&self, id: u64) -> Box<dyn Fn(Option<Rung>) + Send + Sync> {
        let signals = self.clone();
        Box::new(move |rung| {
            signals.0.chosen.lock().ignore_poison().insert(id, rung);
            signals.wake();
        })
    }

    /// Makes the stream check itself now.
    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Waits for a signal. An earlier signal is not lost. Cancel safe.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    /// What viewers have chosen since the last call.
    pub(super) fn take_chosen(&self) -> BTreeMap<u64, Option<Rung>> {
        std::mem::take(&mut *self.0.chosen.lock().ignore_poison())
    }

    /// Ids that have left since the last call.
    pub(super) fn take_left(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.left.lock().ignore_poison())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_who_leaves_waits_or_is_missed() {
        let signals = Signals::default();
        let leaving: Vec<_> = (0..1000).map(|id| signals.leave(id)).collect();
        std::thread::spawn(move || leaving.into_iter().for_each(|leave| leave()))
            .join()
            .expect("no panic");
        signals.woken().await;
        assert_eq!(signals.take_left(), (0..1000).collect::<Vec<_>>());
        assert!(signals.take_left().is_empty());
    }
}
