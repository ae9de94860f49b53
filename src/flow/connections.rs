//! Limits the connections of a TCP port: in all, and from each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::media::IgnorePoison;
use crate::telemetry::descriptors;

/// Bits of an IPv6 address that name a network: one customer owns all addresses of a network (RFC
/// 6177), so they count as one.
const NETWORK_BITS: u32 = 64;

/// Counts the open connections, in all and of each address. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    counts: Arc<Mutex<Counts>>,
    max: usize,
    max_per_ip: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One connection's place; it is released on drop.
pub struct ConnectionPermit {
    connections: Connections,
    ip: IpAddr,
}

/// Why a connection gets no place. The texts name the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// The limit of all connections is reached.
    #[error("{0} connections are open: `connections_max`")]
    All(usize),
    /// The limit of connections from one address is reached.
    #[error("{1} connections of {0} are open: `connections_per_ip_max`")]
    Address(IpAddr, usize),
    /// The process is short of file descriptors; the rest is kept for recordings.
    #[error("file descriptors run out: raise the limit of open files (`ulimit -n`)")]
    Descriptors,
}

impl Connections {
    /// No connection is open yet. Both limits count connections.
    pub fn new(max: usize, max_per_ip: usize) -> Self {
        Self { counts: Arc::default(), max, max_per_ip }
    }

    /// Takes a place for one more connection from this address.
    ///
    /// # Errors
    /// [`Crowded`], if there is none.
    pub fn enter(&self, ip: IpAddr) -> Result<ConnectionPermit, Crowded> {
        if descriptors::are_scarce() {
            return Err(Crowded::Descriptors);
        }
        let ip = network(ip);
        let mut counts = self.lock();
        let of_ip = counts.by_ip.get(&ip).copied().unwrap_or(0);
        if counts.all >= self.max {
            return Err(Crowded::All(self.max));
        }
        if of_ip >= self.max_per_ip {
            return Err(Crowded::Address(ip, self.max_per_ip));
        }
        counts.all += 1;
        *counts.by_ip.entry(ip).or_default() += 1;
        Ok(ConnectionPermit { connections: self.clone(), ip })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().ignore_poison()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

/// What connections are counted by: the address for IPv4, the network for IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let prefix = u128::MAX << (u128::BITS - NETWORK_BITS);
            Ipv6Addr::from(u128::from(ip) & prefix).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let connections = Connections::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let first = connections.enter(a).expect("room");
        let _second = connections.enter(a).expect("room");
        assert_eq!(connections.enter(a).err(), Some(Crowded::Address(a, 2)));
        let _third = connections.enter(b).expect("room");
        assert_eq!(connections.enter(b).err(), Some(Crowded::All(3)));
        drop(first);
        assert!(connections.enter(a).is_ok());
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let check = |address: &str, expect: &str| {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(network(address).to_string(), expect, "{address}");
        };
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("::1", "::");
    }
}
