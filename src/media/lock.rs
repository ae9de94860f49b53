//! Locks that stay usable after a panic.

use std::sync::{LockResult, PoisonError};

/// Takes what a lock protects, also after a thread has panicked while it held the lock.
///
/// A panic must not spread from one stream to the others. What our locks protect is valid after
/// each statement, or replaced by its owner when it starts again.
pub trait IgnorePoison<T> {
    /// The guard, poisoned or not.
    fn ignore_poison(self) -> T;
}

/// Mutexes, read-write locks and waits on condition variables.
impl<T> IgnorePoison<T> for LockResult<T> {
    fn ignore_poison(self) -> T {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_leaves_the_contents_usable() {
        let number = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let panics = scope.spawn(|| {
                *number.lock().ignore_poison() = 2;
                let _held = number.lock().ignore_poison();
                panic!("while it holds the lock");
            });
            panics.join().is_err()
        });
        assert!(panicked && number.is_poisoned());
        assert_eq!(*number.lock().ignore_poison(), 2);
    }
}
