//! Finds the session that a datagram belongs to.

use std::collections::HashMap;
use std::net::SocketAddr;

use str0m::ice::StunMessage;

use super::id::SessionId;

/// Most addresses of one session: a viewer with several networks, tried in all combinations.
const ADDRESSES_MAX: usize = 16;

/// The sessions of a shard by their ICE user name fragments and the addresses of their viewers.
///
/// Strangers cost a look at these tables: only a session that knows the password of a request adds
/// an address.
#[derive(Debug, Default)]
pub(super) struct Demux {
    by_ufrag: HashMap<String, SessionId>,
    by_address: HashMap<SocketAddr, SessionId>,
    addresses: HashMap<SessionId, Vec<SocketAddr>>,
}

/// Whose datagram it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A session, from one of its known addresses.
    Known(SessionId),
    /// A session that must check the request's password first.
    Claimed(SessionId),
}

impl Demux {
    /// Adds a session, or replaces its user name fragment.
    pub(super) fn insert(&mut self, ufrag: &str, session: SessionId) {
        self.by_ufrag.retain(|_, of| *of != session);
        self.by_ufrag.insert(ufrag.to_owned(), session);
    }

    /// Removes a session.
    pub(super) fn remove(&mut self, session: SessionId) {
        self.by_ufrag.retain(|_, of| *of != session);
        for address in self.addresses.remove(&session).unwrap_or_default() {
            if self.by_address.get(&address) == Some(&session) {
                self.by_address.remove(&address);
            }
        }
    }

    /// A session has authenticated a request from an address.
    pub(super) fn learn(&mut self, address: SocketAddr, session: SessionId) {
        if self.by_address.insert(address, session) == Some(session) {
            return;
        }
        let addresses = self.addresses.entry(session).or_default();
        addresses.retain(|known| *known != address);
        addresses.push(address);
        if addresses.len() > ADDRESSES_MAX {
            let oldest = addresses.remove(0);
            if self.by_address.get(&oldest) == Some(&session) {
                self.by_address.remove(&oldest);
            }
        }
    }

    /// The session of a datagram; `None` for strangers. A STUN request goes to the session that it
    /// names: a viewer that returns may have the address of its last session.
    pub(super) fn find(&self, from: SocketAddr, datagram: &[u8]) -> Option<Owner> {
        if is_stun(datagram)
            && let Ok(message) = StunMessage::parse(datagram)
            && message.is_binding_request()
        {
            let (ours, _) = message.split_username()?;
            return self.by_ufrag.get(ours).copied().map(Owner::Claimed);
        }
        self.by_address.get(&from).copied().map(Owner::Known)
    }
}

/// Whether a datagram is STUN (RFC 7983).
fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn strangers_have_no_session_and_addresses_are_bounded() {
        let mut demux = Demux::default();
        let (one, two) = (SessionId(1), SessionId(2));
        demux.insert("abcd", one);
        assert_eq!(demux.find(address(1), &[0x80, 0, 0, 0]), None);
        demux.learn(address(1), one);
        assert_eq!(demux.find(address(1), &[0x80, 0, 0, 0]), Some(Owner::Known(one)));
        (2..100).for_each(|port| demux.learn(address(port), one));
        assert_eq!(demux.by_address.len(), ADDRESSES_MAX);
        assert_eq!(demux.find(address(1), &[0x80, 0, 0, 0]), None, "the oldest is forgotten");
        // Another viewer gets the same address from its router.
        demux.learn(address(99), two);
        demux.remove(one);
        assert_eq!(demux.find(address(99), &[22, 0]), Some(Owner::Known(two)));
        assert_eq!(demux.by_address.len(), 1);
        assert!(demux.by_ufrag.is_empty());
    }
}
