//! The address by which external clients reach the appliance, and the ports. The API and the page
//! use them in the URLs that they return.
//!
//! The address is, in this order: `public_url` of the configuration; `X-Forwarded-Proto` and
//! `X-Forwarded-Host` of a request from a trusted proxy; the `Host` of the request with the
//! listening port. These headers are ignored from any other sender.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use serde::Serialize;

/// Ports that publishers and players connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Endpoints {
    /// Port of the API, the page, WHIP, WHEP, HLS and DASH.
    pub http: u16,
    /// Whether that port speaks HTTPS.
    pub https: bool,
    /// Port of SRT; `null` if it is off.
    pub srt: Option<u16>,
    /// Port of RTMP; `null` if it is off.
    pub rtmp: Option<u16>,
    /// Port of RTMPS; `null` if it is off.
    pub rtmps: Option<u16>,
}

/// Scheme, host and port of the HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    /// Including the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Origin {
    /// The host, for protocols with their own ports.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `https://host`, with the port unless it is the default of the scheme.
    pub fn web(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        match self.port == default_port(self.https) {
            true => format!("{scheme}://{}", self.host),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// The configured public address and trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicAddress {
    fixed: Option<Origin>,
    trusted: Vec<Network>,
}

impl PublicAddress {
    /// Reads `public_url` and `trusted_proxies`.
    ///
    /// # Errors
    /// The field and the reason.
    pub fn new(
        public_url: Option<&str>,
        trusted_proxies: &[String],
    ) -> Result<Self, (&'static str, String)> {
        let fixed = public_url.map(|text| {
            fixed(text).ok_or_else(|| {
                let message = "it is not https://host[:port] or http://host[:port] without a path";
                ("public_url", message.to_owned())
            })
        });
        let network = |text: &String| {
            Network::parse(text).ok_or_else(|| {
                let message = "every entry is an IP address or a network such as 10.0.0.0/8";
                ("trusted_proxies", message.to_owned())
            })
        };
        let trusted = trusted_proxies.iter().map(network).collect::<Result<_, _>>()?;
        Ok(Self { fixed: fixed.transpose()?, trusted })
    }

    /// The origin for a client at `peer` that sent these headers.
    pub fn of(&self, headers: &HeaderMap, peer: Option<IpAddr>, at: &Endpoints) -> Origin {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let trusted = peer.is_some_and(|peer| self.trusted.iter().any(|net| net.contains(peer)));
        let forwarded = if trusted { forwarded(headers, at.https) } else { None };
        forwarded.unwrap_or_else(|| {
            let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
            let host = split_host(host).map_or_else(|| "localhost".to_owned(), |(host, _)| host);
            Origin { https: at.https, host, port: at.http }
        })
    }
}

fn fixed(text: &str) -> Option<Origin> {
    let url = url::Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let plain = url.username().is_empty() && url.password().is_none();
    let https = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let port = url.port_or_known_default()?;
    (bare && plain).then(|| url.host_str().map(|host| Origin { https, host: host.into(), port }))?
}

/// The origin that a proxy reports. If several proxies added values, the last one is that of the
/// trusted proxy.
fn forwarded(headers: &HeaderMap, https_here: bool) -> Option<Origin> {
    let last = |name: &str| {
        let text = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        text.rsplit(',').next().map(str::trim)
    };
    let https = match last("x-forwarded-proto") {
        Some(text) if text.eq_ignore_ascii_case("https") => Some(true),
        Some(text) if text.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    };
    let host = last("x-forwarded-host").and_then(split_host);
    if https.is_none() && host.is_none() {
        return None;
    }
    let https = https.unwrap_or(https_here);
    let asked = || split_host(headers.get(header::HOST)?.to_str().ok()?);
    let (host, port) = host.or_else(asked)?;
    Some(Origin { https, host, port: port.unwrap_or(default_port(https)) })
}

/// Host and port of a `Host` header; an IPv6 address keeps its brackets. `None` if it is not a
/// host.
fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    let end = match text.rfind(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at_checked(end)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
    let legal = !host.is_empty() && host.chars().all(legal);
    legal.then(|| (host.to_owned(), port.strip_prefix(':').and_then(|port| port.parse().ok())))
}

/// An address with the number of significant bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { address, bits })
    }

    fn contains(self, peer: IpAddr) -> bool {
        // A dual-stack socket reports IPv4 peers as ::ffff:10.0.0.1.
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differ = a.to_bits() ^ b.to_bits();
                differ.leading_zeros() >= self.bits
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differ = a.to_bits() ^ b.to_bits();
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let at = Endpoints { http: 8080, ..Endpoints::default() };
        let proxies = ["10.1.0.0/16".to_owned(), "fd00::1".to_owned()];
        let public = PublicAddress::new(None, &proxies).expect("valid");
        let check = |peer: &str, pairs: &[(&'static str, &'static str)], expect: &str| {
            let peer = peer.parse().expect("an address");
            let origin = public.of(&headers(pairs), Some(peer), &at);
            assert_eq!(origin.web(), expect, "{peer} {pairs:?}");
        };
        let host = ("host", "box.lan:8080");
        let proto = ("x-forwarded-proto", "https");
        let name = ("x-forwarded-host", "media.example.org");
        check("192.0.2.1", &[host], "http://box.lan:8080");
        check("192.0.2.1", &[host, proto, name], "http://box.lan:8080");
        check("10.1.2.3", &[host, proto, name], "https://media.example.org");
        check("::ffff:10.1.2.3", &[host, proto, name], "https://media.example.org");
        check("10.2.0.1", &[host, proto, name], "http://box.lan:8080");
        check("fd00::1", &[host, proto], "https://box.lan:8080");
        check("fd00::1", &[host, name], "http://media.example.org");
        let spoofed = ("x-forwarded-host", "evil.example, media.example.org:8443");
        check("10.1.2.3", &[host, proto, spoofed], "https://media.example.org:8443");
        let nonsense = ("x-forwarded-host", "x\" onload=1");
        check("10.1.2.3", &[host, nonsense], "http://box.lan:8080");
    }

    #[test]
    fn the_public_address_wins() {
        let public = PublicAddress::new(Some("https://media.example.org/"), &[]).expect("valid");
        let at = Endpoints { http: 8080, ..Endpoints::default() };
        let origin = public.of(&headers(&[("host", "box:8080")]), None, &at);
        assert_eq!(
            (origin.web().as_str(), origin.host()),
            ("https://media.example.org", "media.example.org")
        );
        let public = PublicAddress::new(Some("http://[2001:db8::1]:8000"), &[]).expect("valid");
        let origin = public.of(&HeaderMap::new(), None, &at);
        assert_eq!(
            (origin.web().as_str(), origin.host()),
            ("http://[2001:db8::1]:8000", "[2001:db8::1]")
        );
        for bad in ["media.example.org", "ftp://x", "https://x/path", "https://u:p@x", "https://"] {
            let (field, _) = PublicAddress::new(Some(bad), &[]).expect_err(bad);
            assert_eq!(field, "public_url");
        }
        for bad in ["proxy.lan", "10.0.0.0/33", "10.0.0.0/x", ""] {
            let (field, _) = PublicAddress::new(None, &[bad.to_owned()]).expect_err(bad);
            assert_eq!(field, "trusted_proxies");
        }
    }

    #[test]
    fn a_host_header_cannot_smuggle_anything_in() {
        let host = |text: &str| split_host(text).map(|(host, _)| host);
        assert_eq!(host("box:8080").as_deref(), Some("box"));
        assert_eq!(host("[::1]:8080").as_deref(), Some("[::1]"));
        assert_eq!(host("x\" onload=1"), None);
        assert_eq!(host(""), None);
    }
}
