//! How many may stand at the door, and how often we complain about it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections now, of all and of each address. Cheap to clone.
#[derive(Clone)]
pub(super) struct Limiter {
    counts: Arc<Mutex<Counts>>,
    max: usize,
    max_per_ip: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One connection's place; dropping it gives it back.
pub(super) struct Place {
    limiter: Limiter,
    ip: IpAddr,
}

impl Limiter {
    /// A limiter with nobody in.
    pub(super) fn new(max: usize, max_per_ip: usize) -> Self {
        Self { counts: Arc::default(), max, max_per_ip }
    }

    /// A place for one more connection from this address.
    ///
    /// # Errors
    /// In words, when there is none.
    pub(super) fn enter(&self, ip: IpAddr) -> Result<Place, String> {
        let mut counts = self.lock();
        let of_ip = counts.by_ip.get(&ip).copied().unwrap_or(0);
        if counts.all >= self.max {
            return Err(format!("{} connections are open: `connections_max`", self.max));
        }
        if of_ip >= self.max_per_ip {
            let max = self.max_per_ip;
            return Err(format!("{max} connections of {ip} are open: `connections_per_ip_max`"));
        }
        counts.all += 1;
        *counts.by_ip.entry(ip).or_default() += 1;
        Ok(Place { limiter: self.clone(), ip })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limiter.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

/// Lets one complaint a second through, so that a flood of strangers does not become a flood of
/// log lines. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<(Option<Instant>, u64)>>);

impl Complaints {
    /// Whether to complain now, and how many complaints were kept back before.
    pub(super) fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.duration_since(last) < Duration::from_secs(1)) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let limiter = Limiter::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let first = limiter.enter(a).expect("room");
        let _second = limiter.enter(a).expect("room");
        assert!(limiter.enter(a).err().expect("full").contains("connections_per_ip_max"));
        let _third = limiter.enter(b).expect("room");
        assert!(limiter.enter(b).err().expect("full").contains("connections_max"));
        drop(first);
        assert!(limiter.enter(a).is_ok());
    }

    #[test]
    fn complaints_are_counted_while_they_are_kept_back() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.pass(start), Some(0));
        assert_eq!(complaints.pass(start), None);
        assert_eq!(complaints.pass(start + Duration::from_millis(900)), None);
        assert_eq!(complaints.pass(start + Duration::from_millis(1001)), Some(2));
    }
}
