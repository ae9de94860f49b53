//! Host names of the appliance. Any site can make its own name resolve to the appliance (DNS
//! rebinding). The browser then treats it as the same origin, but the `Host` of its requests still
//! has that name.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Accepted host names. Addresses and `localhost` are always accepted, because no site can own
/// them.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// This machine's own name and the given names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let system = rustix::system::uname();
        let own = system.nodename().to_str().unwrap_or_default();
        let own = [own.to_owned(), format!("{own}.local")];
        Self(own.into_iter().chain(names).map(|name| plain(&name)).collect())
    }

    /// Whether a `Host` header, with or without port, names the appliance.
    pub fn contain(&self, host: &str) -> bool {
        let name = plain(without_port(host));
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        name.parse::<Ipv4Addr>().is_ok()
            || address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
            || name == "localhost"
            || name.ends_with(".localhost")
            || (!name.is_empty() && self.0.contains(&name))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Lower case, without the root dot.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_names_of_its_own_are_the_appliance() {
        let hosts = Hosts::new(["Media.Example.org".to_owned()]);
        let check = |host: &str, expect| assert_eq!(hosts.contain(host), expect, "{host}");
        check("192.0.2.7", true);
        check("192.0.2.7:8080", true);
        check("[2001:db8::1]:8080", true);
        check("[::1]", true);
        check("localhost:8080", true);
        check("demo.localhost", true);
        check("media.example.org", true);
        check("MEDIA.example.org.:443", true);
        check("evil.example.org", false);
        check("media.example.org.evil.test", false);
        check("192.0.2.7.evil.test", false);
        check("localhost.evil.test:8080", false);
        check("2001:db8::1", false);
        check("", false);
        check(":8080", false);
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        check(&format!("{own}:8080"), true);
    }
}
