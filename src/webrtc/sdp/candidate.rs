//! ICE candidates (RFC 8839 section 5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A candidate with an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Foundation, 1-32 ice-chars.
    pub foundation: String,
    /// Whether it is for TCP (RFC 6544).
    pub tcp: bool,
    /// Priority; larger is better.
    pub priority: u32,
    /// IP address of the candidate.
    pub address: IpAddr,
    /// Its port; 9 for an active TCP candidate.
    pub port: u16,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: CandidateKind,
    /// Base address of a reflexive or relayed candidate.
    pub related: Option<(IpAddr, u16)>,
    /// `active`, `passive` or `so`; TCP only.
    pub tcp_type: Option<TcpType>,
}

/// How a candidate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateKind {
    /// A local address of the machine.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen by the peer.
    PeerReflexive,
    /// On a TURN server.
    Relay,
}

/// Which end opens a TCP candidate's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpType {
    /// It opens connections.
    Active,
    /// It accepts connections.
    Passive,
    /// Both ends open simultaneously.
    SimultaneousOpen,
}

impl CandidateKind {
    const NAMES: [(Self, &str); 4] = [
        (Self::Host, "host"),
        (Self::ServerReflexive, "srflx"),
        (Self::PeerReflexive, "prflx"),
        (Self::Relay, "relay"),
    ];
}

impl TcpType {
    const NAMES: [(Self, &str); 3] =
        [(Self::Active, "active"), (Self::Passive, "passive"), (Self::SimultaneousOpen, "so")];
}

fn named<T: Copy>(names: &[(T, &'static str)], text: &str) -> Option<T> {
    names.iter().find(|(_, name)| *name == text).map(|(value, _)| *value)
}

fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(v, _)| *v == value).map_or("", |(_, name)| name)
}

impl Candidate {
    /// Parses the value of an `a=candidate:` line.
    ///
    /// `None` for a candidate that is malformed, of the second component (RTCP is multiplexed), or
    /// has a host name: names, including `.local` ones, are not resolved for unknown peers, and the
    /// peer's checks reveal its address anyway.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let foundation = words.next().filter(|f| f.len() <= 32 && is_ice_text(f))?;
        if words.next()? != "1" {
            return None;
        }
        let transport = words.next()?;
        let tcp = transport.eq_ignore_ascii_case("tcp");
        if !tcp && !transport.eq_ignore_ascii_case("udp") {
            return None;
        }
        let priority = words.next()?.parse().ok()?;
        let address = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        if words.next()? != "typ" {
            return None;
        }
        let kind = named(&CandidateKind::NAMES, words.next()?)?;
        let (mut raddr, mut rport, mut tcp_type) = (None, None, None);
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "raddr" => raddr = value.parse().ok(),
                "rport" => rport = value.parse().ok(),
                "tcptype" => tcp_type = named(&TcpType::NAMES, value),
                _ => {}
            }
        }
        if tcp != tcp_type.is_some() {
            return None;
        }
        let foundation = foundation.to_owned();
        let related = raddr.zip(rport);
        Some(Self { foundation, tcp, priority, address, port, kind, related, tcp_type })
    }

    /// A local address that takes datagrams, or TCP connections; `index` orders several, the best
    /// first.
    pub fn host(at: SocketAddr, tcp: bool, index: usize) -> Self {
        // RFC 8445 section 5.1.2.1: type preference 126, local preference, component 1.
        let preference = u32::from(u16::MAX).saturating_sub(u32::try_from(index).unwrap_or(0));
        Self {
            foundation: format!("{}", index + 1),
            tcp,
            priority: (126 << 24) + (preference << 8) + 255,
            address: at.ip(),
            port: at.port(),
            kind: CandidateKind::Host,
            related: None,
            tcp_type: tcp.then_some(TcpType::Passive),
        }
    }

    /// The same candidate at a public address of this machine (1:1 NAT).
    pub fn announced(&self, address: IpAddr, index: usize) -> Self {
        Self {
            foundation: format!(
                "{}a{index}",
                self.foundation.get(..24).unwrap_or(&self.foundation)
            ),
            // Just below the candidate itself: inside the network the direct path is preferred.
            priority: self.priority.saturating_sub(1 + u32::try_from(index).unwrap_or(0)),
            address,
            ..self.clone()
        }
    }
}

impl fmt::Display for Candidate {
    /// Formats the value of an `a=candidate:` line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.tcp { "TCP" } else { "UDP" };
        let kind = name_of(&CandidateKind::NAMES, self.kind);
        write!(f, "{} 1 {transport} {} {} ", self.foundation, self.priority, self.address)?;
        write!(f, "{} typ {kind}", self.port)?;
        if let Some((address, port)) = self.related {
            write!(f, " raddr {address} rport {port}")?;
        }
        match self.tcp_type {
            Some(tcp_type) => write!(f, " tcptype {}", name_of(&TcpType::NAMES, tcp_type)),
            None => Ok(()),
        }
    }
}

/// Whether a text consists of ice-chars (RFC 8839: letters, digits, `+` and `/`). Some peers also
/// use `-` and `_`.
pub(super) fn is_ice_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_browsers_write_and_writes_it_back() {
        let check = |text: &str, expect: Option<&str>| {
            let written = Candidate::parse(text).map(|c| c.to_string());
            assert_eq!(written.as_deref(), expect, "{text}");
        };
        check(
            "2412308049 1 udp 2113937151 192.0.2.7 37191 typ host generation 0 network-cost 999",
            Some("2412308049 1 UDP 2113937151 192.0.2.7 37191 typ host"),
        );
        check(
            "1 1 UDP 1694498815 2001:db8::1 9 typ srflx raddr 10.0.0.1 rport 5",
            Some("1 1 UDP 1694498815 2001:db8::1 9 typ srflx raddr 10.0.0.1 rport 5"),
        );
        check(
            "1 1 tcp 5 10.0.0.1 9 typ host tcptype active generation 0",
            Some("1 1 TCP 5 10.0.0.1 9 typ host tcptype active"),
        );
        check("1 2 udp 5 10.0.0.1 9 typ host", None);
        check("1 1 udp 5 ecd6b688.local 9 typ host", None);
        check("1 1 udp 5 10.0.0.1 99999 typ host", None);
        check("1 1 tcp 5 10.0.0.1 9 typ host", None);
        check("", None);
    }

    #[test]
    fn an_announced_address_ranks_below_the_direct_one() {
        let direct = Candidate::parse("1 1 udp 500 10.0.0.1 4000 typ host").expect("valid");
        let outside = direct.announced("203.0.113.5".parse().expect("valid"), 0);
        assert_eq!(outside.to_string(), "1a0 1 UDP 499 203.0.113.5 4000 typ host");
    }
}
