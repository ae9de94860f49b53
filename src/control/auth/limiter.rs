//! Slows down the guessing of tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong tokens that an address may send before it must wait.
const FREE_TRIES: u32 = 5;

/// The first pause; each further wrong token doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Maximum number of remembered addresses. Beyond it, the one idle for longest is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// An address without tries for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(900);

#[derive(Clone, Copy)]
struct Tries {
    failed: u32,
    last: Instant,
}

/// Counts wrong tokens per address, in bounded memory.
#[derive(Default)]
pub(super) struct Limiter {
    tries: HashMap<IpAddr, Tries>,
}

impl Limiter {
    /// The remaining wait of this address. `None` if it may try.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let tries = self.tries.get(&address)?;
        let beyond = tries.failed.checked_sub(FREE_TRIES)?;
        let pause = PAUSE_MIN.saturating_mul(1 << beyond.min(10)).min(PAUSE_MAX);
        pause.checked_sub(now.saturating_duration_since(tries.last)).filter(|d| !d.is_zero())
    }

    /// Notes a wrong token. Returns true if it should be logged: the first one of an address, and
    /// the one that starts its wait.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) -> bool {
        let stale = |t: &Tries| now.saturating_duration_since(t.last) >= FORGET_AFTER;
        if self.tries.get(&address).is_some_and(stale) {
            self.tries.remove(&address);
        }
        if self.tries.len() >= ADDRESSES_MAX && !self.tries.contains_key(&address) {
            let oldest = self.tries.iter().min_by_key(|(_, t)| t.last).map(|(a, _)| *a);
            if let Some(oldest) = oldest {
                self.tries.remove(&oldest);
            }
        }
        let tries = self.tries.entry(address).or_insert(Tries { failed: 0, last: now });
        tries.failed = tries.failed.saturating_add(1);
        tries.last = now;
        tries.failed == 1 || tries.failed == FREE_TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..FREE_TRIES - 1 {
            limiter.failed(address(1), start);
            assert_eq!(limiter.wait(address(1), start), None);
        }
        limiter.failed(address(1), start);
        assert_eq!(limiter.wait(address(1), start), Some(PAUSE_MIN));
        limiter.failed(address(1), start);
        assert_eq!(limiter.wait(address(1), start), Some(PAUSE_MIN * 2));
        assert_eq!(limiter.wait(address(1), start + PAUSE_MIN * 2), None);
        assert_eq!(limiter.wait(address(2), start), None, "others are not slowed down");
        let quiet = start + FORGET_AFTER;
        limiter.failed(address(1), quiet);
        assert_eq!(limiter.wait(address(1), quiet), None, "it starts afresh");
    }

    #[test]
    fn memory_is_bounded_and_the_pause_too() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        for n in 0..12_000_u32 {
            limiter.failed(address(n % 5000), start + Duration::from_millis(u64::from(n) / 1000));
        }
        assert!(limiter.tries.len() <= ADDRESSES_MAX);
        for _ in 0..10_000 {
            limiter.failed(address(7), start);
        }
        assert_eq!(limiter.wait(address(7), start), Some(PAUSE_MAX));
    }
}
