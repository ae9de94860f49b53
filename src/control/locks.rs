//! Locks by name. A lock exists while it is held or awaited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::media::{IgnorePoison, StreamName};

type Locks = BTreeMap<StreamName, Arc<tokio::sync::Mutex<()>>>;

/// One lock per stream name, whether or not the stream exists. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct StreamLocks(Arc<Mutex<Locks>>);

/// A held lock.
pub(super) struct Turn {
    locks: StreamLocks,
    name: StreamName,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl StreamLocks {
    /// Waits for the lock of this name, in order of arrival. Cancel safe.
    pub(super) async fn lock(&self, name: &StreamName) -> Turn {
        let lock = Arc::clone(self.all().entry(name.clone()).or_default());
        let mut turn = Turn { locks: self.clone(), name: name.clone(), guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn all(&self) -> MutexGuard<'_, Locks> {
        self.0.lock().ignore_poison()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut all = self.locks.all();
        // Every waiter holds a clone, taken while `all` was locked.
        if all.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_at_a_time_per_name_and_nothing_stays() {
        let locks = StreamLocks::default();
        let name = |text: &str| text.parse::<StreamName>().expect("a name");
        let count = Arc::new(Mutex::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (locks, count, name) = (locks.clone(), Arc::clone(&count), name("a"));
            tasks.spawn(async move {
                let _turn = locks.lock(&name).await;
                let read = *count.lock().expect("no panic");
                tokio::task::yield_now().await;
                *count.lock().expect("no panic") = read + 1;
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic");
        }
        assert_eq!(*count.lock().expect("no panic"), 50);
        assert!(locks.all().is_empty());

        let held = locks.lock(&name("a")).await;
        let _other = locks.lock(&name("b")).await;
        let a = name("a");
        let given_up = tokio::time::timeout(Duration::from_millis(1), locks.lock(&a));
        assert!(given_up.await.is_err(), "it is held");
        drop(held);
        let _again = locks.lock(&name("a")).await;
        assert_eq!(locks.all().len(), 2);
    }
}
