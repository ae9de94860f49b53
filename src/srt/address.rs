//! Socket addresses in C layout.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address in C's layout.
#[repr(C)]
pub(super) union CAddress {
    generic: libc::sockaddr,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl CAddress {
    /// Converts an address; returns it with its length in bytes.
    pub(super) fn new(address: SocketAddr) -> (Self, i32) {
        match address {
            SocketAddr::V4(a) => {
                // SAFETY: all-zero bytes are a valid `sockaddr_in`.
                let mut v4: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
                v4.sin_family = libc::AF_INET as libc::sa_family_t;
                v4.sin_port = a.port().to_be();
                v4.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
                (Self { v4 }, size_of::<libc::sockaddr_in>() as i32)
            }
            SocketAddr::V6(a) => {
                // SAFETY: all-zero bytes are a valid `sockaddr_in6`.
                let mut v6: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
                v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                v6.sin6_port = a.port().to_be();
                v6.sin6_addr.s6_addr = a.ip().octets();
                v6.sin6_scope_id = a.scope_id();
                (Self { v6 }, size_of::<libc::sockaddr_in6>() as i32)
            }
        }
    }

    /// Buffer for an address that C writes, and its length.
    pub(super) fn room() -> (Self, i32) {
        // SAFETY: all-zero bytes are a valid value of every member.
        let room: Self = unsafe { MaybeUninit::zeroed().assume_init() };
        (room, size_of::<Self>() as i32)
    }

    /// Pointer for a C function that reads the address.
    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        std::ptr::from_ref(self).cast()
    }

    /// Pointer for a C function that writes the address.
    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        std::ptr::from_mut(self).cast()
    }

    /// The address; `None` for families other than IP.
    pub(super) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: `self` is valid for reads, and large enough for both families.
        unsafe { read(self.as_ptr()) }
    }
}

/// The address behind a C pointer; `None` for null and for families other than IP.
///
/// # Safety
/// `address` is null or points to an address as large as its family requires.
pub(super) unsafe fn read(address: *const libc::sockaddr) -> Option<SocketAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, and every address begins with its family.
    match i32::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family marks it as a `sockaddr_in`.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family marks it as a `sockaddr_in6`.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; admins expect a.b.c.d.
            let port = u16::from_be(v6.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, port).into(),
                None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_through_c() {
        for text in ["192.0.2.7:8890", "[2001:db8::1]:65535", "0.0.0.0:0", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().expect("valid");
            assert_eq!(CAddress::new(address).0.get(), Some(address));
        }
        let mapped: SocketAddr = "[::ffff:192.0.2.7]:80".parse().expect("valid");
        let plain: SocketAddr = "192.0.2.7:80".parse().expect("valid");
        assert_eq!(CAddress::new(mapped).0.get(), Some(plain));
        assert_eq!(CAddress::room().0.get(), None);
    }
}
