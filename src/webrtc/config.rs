//! Settings of WHIP and WHEP.

use std::net::IpAddr;

use serde::Deserialize;

use super::places::Limits;
use crate::media::{Codec, Secret};

/// Section `[webrtc]`: how browsers and other WebRTC peers reach the appliance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `stun://host:port` (or `stun:host:port`) by which the appliance learns its outer address;
    /// also sent to clients. None by default: a machine with a fixed address needs none, and
    /// nothing is sent to a third party unasked.
    pub stun_server: Option<String>,
    /// Relays for peers that cannot be reached directly; also sent to clients.
    pub turn_servers: Vec<TurnServer>,
    /// Lowest UDP port for media; open the whole range in the firewall.
    pub udp_port_min: u16,
    /// Highest UDP port for media. One port is used per session and local address.
    pub udp_port_max: u16,
    /// Whether viewers share the packets of a feed, on `viewer_threads` ports. Otherwise, and with
    /// `stun_server` or `turn_servers`, each has a pipeline and ports of the range above.
    pub fan_out: bool,
    /// First UDP port for viewers that share packets, one for each of `viewer_threads`. None: free
    /// ones of the range above.
    pub viewer_port: Option<u16>,
    /// Threads, each with a port, for viewers that share packets: one serves about 1 Gbit/s.
    pub viewer_threads: usize,
    /// Public addresses of this machine behind 1:1 NAT.
    pub announced_addresses: Vec<IpAddr>,
    /// Local addresses to use; empty means all but loopback.
    pub local_addresses: Vec<IpAddr>,
    /// Also accepts media over TCP, for networks that block UDP.
    pub ice_tcp: bool,
    /// Most simultaneous WebRTC publishers and viewers.
    pub sessions_max: usize,
    /// How many of `sessions_max` are reserved for publishers. None: one tenth.
    pub publishers_reserved: Option<usize>,
    /// Most WebRTC viewers of one stream. None: three quarters of the places for viewers.
    pub viewers_per_stream_max: Option<usize>,
    /// Most WebRTC viewers with one token, across all streams. None: the same share.
    pub viewers_per_token_max: Option<usize>,
    /// Longest wait for ICE candidates before an answer is sent, in ms. Only STUN and TURN need
    /// more than a few ms.
    pub gather_ms: u64,
    /// How long to wait for a gap in a publisher's packets, in ms: time for retransmissions. Adds
    /// no delay without packet loss.
    pub jitter_ms: u32,
    /// Video codecs accepted from publishers (`h264 vp8 vp9 av1`), best first.
    pub publish_codecs: Vec<Codec>,
    /// Accepts and sends voice as AIC-A on trunks if both ends have its engine and the same
    /// weights. Never offered to browsers.
    pub aic: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stun_server: None,
            turn_servers: Vec::new(),
            udp_port_min: 50_000,
            udp_port_max: 59_999,
            fan_out: true,
            viewer_port: None,
            viewer_threads: 1,
            announced_addresses: Vec::new(),
            local_addresses: Vec::new(),
            ice_tcp: true,
            sessions_max: 200,
            publishers_reserved: None,
            viewers_per_stream_max: None,
            viewers_per_token_max: None,
            gather_ms: 1000,
            jitter_ms: 200,
            publish_codecs: super::sdp::VIDEO_CODECS.to_vec(),
            aic: true,
        }
    }
}

/// A TURN relay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnServer {
    /// `turn:host:port`, `turns:host:port`, optionally with `?transport=tcp`.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password of the user.
    pub credential: Secret,
}

impl Config {
    /// Finds invalid settings, as `(field, what is wrong)`.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, what: String| problems.push((field.to_owned(), what));
        if self.udp_port_min > self.udp_port_max || self.udp_port_min == 0 {
            let (min, max) = (self.udp_port_min, self.udp_port_max);
            wrong("udp_port_min", format!("{min}-{max} is not a range of ports"));
        }
        let ports = self.viewer_port.map_or(0, usize::from) + self.viewer_threads;
        if self.viewer_threads == 0 || ports > usize::from(u16::MAX) + 1 {
            wrong("viewer_threads", "must be at least 1, with a port for each".into());
        }
        if self.viewer_port == Some(0) {
            wrong("viewer_port", "0 is not a port".into());
        }
        if self.sessions_max == 0 {
            wrong("sessions_max", "must be at least 1".into());
        }
        if self.publishers_reserved.is_some_and(|reserved| reserved > self.sessions_max) {
            wrong("publishers_reserved", "is more than sessions_max".into());
        }
        if let Some(server) = &self.stun_server
            && server_host(server, &["stun"]).is_none()
        {
            wrong("stun_server", format!("`{server}` is not like `stun://host:port`"));
        }
        for (index, server) in self.turn_servers.iter().enumerate() {
            if server_host(&server.url, &["turn", "turns"]).is_none() {
                let field = format!("turn_servers[{index}].url");
                wrong(&field, format!("`{}` is not like `turn:host:port`", server.url));
            }
        }
        for (index, codec) in self.publish_codecs.iter().enumerate() {
            if !super::sdp::VIDEO_CODECS.contains(codec) {
                let field = format!("publish_codecs[{index}]");
                wrong(&field, format!("{codec} is not one of h264 vp8 vp9 av1"));
            }
        }
        problems
    }

    /// Whether viewers share packets. Only a pipeline of its own gathers candidates by STUN and
    /// TURN.
    pub(crate) fn shares_packets(&self) -> bool {
        self.fan_out && self.stun_server.is_none() && self.turn_servers.is_empty()
    }

    /// The limits of sessions.
    pub(super) fn limits(&self) -> Limits {
        let sessions = self.sessions_max;
        let viewers = sessions - self.publishers_reserved.unwrap_or(sessions / 10).min(sessions);
        let share = viewers - viewers / 4;
        let viewers_per_stream = self.viewers_per_stream_max.unwrap_or(share);
        let viewers_per_token = self.viewers_per_token_max.unwrap_or(share);
        Limits { sessions, viewers, viewers_per_stream, viewers_per_token }
    }

    /// The STUN server in `webrtcbin`'s format.
    pub(crate) fn stun_uri(&self) -> Option<String> {
        let server = self.stun_server.as_deref()?;
        server_host(server, &["stun"]).map(|(_, host)| format!("stun://{host}"))
    }

    /// TURN servers in `webrtcbin`'s format.
    pub(crate) fn turn_uris(&self) -> Vec<String> {
        let escape = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let uri = |server: &TurnServer| {
            let (scheme, host) = server_host(&server.url, &["turn", "turns"])?;
            let (user, password) = (escape(&server.username), escape(server.credential.expose()));
            Some(format!("{scheme}://{user}:{password}@{host}"))
        };
        self.turn_servers.iter().filter_map(uri).collect()
    }

    /// Values of the `Link` headers that name STUN and TURN servers to clients (RFC 9725 section
    /// 4.6). They contain TURN credentials: only for authenticated clients.
    pub(crate) fn links(&self) -> Vec<String> {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let stun = self.stun_server.iter().filter_map(|s| {
            server_host(s, &["stun"]).map(|(_, host)| format!("<stun:{host}>; rel=\"ice-server\""))
        });
        let turn = self.turn_servers.iter().filter_map(|server| {
            let (scheme, host) = server_host(&server.url, &["turn", "turns"])?;
            Some(format!(
                "<{scheme}:{host}>; rel=\"ice-server\"; username=\"{}\"; credential=\"{}\"; \
                 credential-type=\"password\"",
                quoted(&server.username),
                quoted(server.credential.expose())
            ))
        });
        stun.chain(turn).collect()
    }
}

/// Scheme and remainder of a STUN or TURN address, with or without `//`.
fn server_host<'a>(url: &'a str, schemes: &[&str]) -> Option<(&'a str, &'a str)> {
    let (scheme, rest) = url.split_once(':')?;
    let host = rest.trim_start_matches("//");
    let printable = host.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"@".contains(&b));
    (schemes.contains(&scheme) && !host.is_empty() && printable).then_some((scheme, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_to_clients_and_to_webrtcbin_in_their_own_words() {
        let config: Config = toml::from_str(
            r#"
            stun_server = "stun:stun.example.net:3478"
            [[turn_servers]]
            url = "turn:turn.example.net:3478?transport=tcp"
            username = "1700:user"
            credential = "p\"ss"
            "#,
        )
        .expect("valid");
        assert!(config.problems().is_empty(), "{:?}", config.problems());
        assert_eq!(config.stun_uri().as_deref(), Some("stun://stun.example.net:3478"));
        assert_eq!(
            config.turn_uris(),
            ["turn://1700%3Auser:p%22ss@turn.example.net:3478?transport=tcp"]
        );
        assert_eq!(
            config.links()[1],
            "<turn:turn.example.net:3478?transport=tcp>; rel=\"ice-server\"; \
             username=\"1700:user\"; credential=\"p\\\"ss\"; credential-type=\"password\""
        );
    }

    #[test]
    fn what_cannot_work_is_named() {
        let config: Config = toml::from_str(
            "stun_server = \"example.net\"\nudp_port_min = 9\nudp_port_max = 8\n\
             publish_codecs = [\"aac\"]",
        )
        .expect("valid TOML");
        let fields: Vec<String> = config.problems().into_iter().map(|(f, _)| f).collect();
        assert_eq!(fields, ["udp_port_min", "stun_server", "publish_codecs[0]"]);
        assert!(toml::from_str::<Config>("ports = 3").is_err(), "unknown fields are refused");
    }
}
