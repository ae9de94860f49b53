//! The addresses of this machine at which viewers reach it.

use std::net::IpAddr;

use super::Error;

/// Most addresses that viewers try. Containers add some to a machine, and each costs checks.
const ADDRESSES_MAX: usize = 16;

/// The `wanted` addresses, or those of all interfaces without loopback and link-local ones. Read for
/// each viewer: interfaces come and go.
///
/// # Errors
/// [`Error::NoAddress`], if there is none.
pub(super) fn local(wanted: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
    let mut addresses: Vec<IpAddr> = match wanted {
        [] => {
            let interfaces = if_addrs::get_if_addrs().map_err(Error::Start)?;
            interfaces.iter().map(|i| i.ip()).filter(|ip| is_reachable(*ip)).collect()
        }
        wanted => wanted.to_vec(),
    };
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err(Error::NoAddress) } else { Ok(addresses) }
}

/// Whether others can send to an address without naming an interface.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_used_only_if_wanted() {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        assert_eq!(local(&[loopback]).expect("given"), [loopback]);
        if let Ok(found) = local(&[]) {
            assert!(found.iter().all(|ip| is_reachable(*ip)), "{found:?}");
        }
        assert!(!is_reachable("fe80::1".parse().expect("valid")));
        assert!(is_reachable("2001:db8::1".parse().expect("valid")));
    }
}
