//! `/api/v1/streams/{name}/access`: tokens, and the addresses to publish to and to play from.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::extract::Params;
use super::{ApiState, Error, Failures};
use crate::media::StreamName;
use crate::runtime::Access;

/// Ports that publishers and players connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Endpoints {
    /// API, page, WHIP, WHEP and HLS.
    pub http: u16,
    /// Whether that port speaks HTTPS.
    pub https: bool,
    /// SRT, when it is on.
    pub srt: Option<u16>,
    /// RTMP, when it is on.
    pub rtmp: Option<u16>,
    /// RTMPS, when it is on.
    pub rtmps: Option<u16>,
}

/// One address to publish to or play from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Address {
    /// `srt`, `rtmp`, `rtmps`, `whip`, `whep`, `hls`; of captions `sse`, `websocket`, `push`.
    protocol: &'static str,
    /// What to put into the encoder or player; the token is in it where the protocol has no other
    /// place for it.
    url: String,
    /// The stream key, for encoders that ask for it in a field of its own.
    key: Option<String>,
    /// The token to be sent as `Authorization: Bearer`, for WHIP and WHEP.
    bearer: Option<String>,
}

/// Who may publish and play a stream, and where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AccessView {
    access: Access,
    publish: Vec<Address>,
    play: Vec<Address>,
    /// Where captions are followed while the stream has any: `sse` and `websocket`. Both take
    /// `language`; what is pushed goes to `push`, with the admin token.
    captions: Vec<Address>,
}

/// The tokens of a stream and the addresses they belong into.
#[utoipa::path(get, path = "/api/v1/streams/{name}/access", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = AccessView), Failures))]
pub(super) async fn get_access(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Error> {
    view(&state, &name, &headers)
}

/// Makes new tokens; whoever is connected stays, the old tokens open nothing any more.
#[utoipa::path(post, path = "/api/v1/streams/{name}/access/rotate", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = AccessView), Failures))]
pub(super) async fn rotate_access(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Error> {
    state.desk.rotate_tokens(&name).await?;
    view(&state, &name, &headers)
}

fn view(
    state: &ApiState,
    name: &StreamName,
    headers: &HeaderMap,
) -> Result<impl IntoResponse + use<>, Error> {
    let access = state.supervisor().spec(name)?.access;
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let addresses = addresses(&state.endpoints, hostname(host), name, access);
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(addresses)))
}

/// The host of a `Host` header without its port; the brackets of an IPv6 address stay.
fn hostname(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
    if name.is_empty() || !name.chars().all(legal) { "localhost" } else { name }
}

fn addresses(at: &Endpoints, host: &str, name: &StreamName, access: Access) -> AccessView {
    let (scheme, usual) = if at.https { ("https", 443) } else { ("http", 80) };
    let port = if at.http == usual { String::new() } else { format!(":{}", at.http) };
    let web = format!("{scheme}://{host}{port}");
    let encode = |text: &String| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let publish_token = access.publish_token.clone().filter(|_| !access.open_publish);
    let play_token = access.play_token.clone().filter(|_| !access.open_play);
    let plain = |protocol, url| Address { protocol, url, key: None, bearer: None };
    let passphrase = access.srt_passphrase.as_ref();
    let passphrase = passphrase.map_or_else(String::new, |p| format!("&passphrase={}", encode(p)));
    let srt = |action: &str, token: &Option<String>| {
        let token = token.as_ref().map_or_else(String::new, |t| format!(":{}", encode(t)));
        let port = at.srt?;
        let id = format!("{action}:{name}{token}");
        Some(plain("srt", format!("srt://{host}:{port}?streamid={id}{passphrase}")))
    };
    let rtmp = |protocol, port: Option<u16>| {
        let token = publish_token.as_ref();
        let key = token.map_or_else(|| name.to_string(), |t| format!("{name}?token={}", encode(t)));
        let port = port?;
        Some(Address {
            protocol,
            url: format!("{protocol}://{host}:{port}/live"),
            key: Some(key),
            bearer: None,
        })
    };
    let web_rtc = |protocol, token: &Option<String>| Address {
        bearer: token.clone(),
        ..plain(protocol, format!("{web}/{protocol}/{name}"))
    };
    let query = play_token.as_ref().map_or_else(String::new, |t| format!("?token={}", encode(t)));
    let hls = plain("hls", format!("{web}/hls/{name}/index.m3u8{query}"));
    let captions = format!("{web}/captions/{name}");
    let socket = captions.replacen("http", "ws", 1);
    AccessView {
        captions: vec![
            plain("sse", format!("{captions}/events{query}")),
            plain("websocket", format!("{socket}/ws{query}")),
            plain("push", format!("{web}/api/v1/streams/{name}/captions/cues")),
        ],
        publish: [srt("publish", &publish_token), rtmp("rtmp", at.rtmp), rtmp("rtmps", at.rtmps)]
            .into_iter()
            .flatten()
            .chain([web_rtc("whip", &publish_token)])
            .collect(),
        play: [web_rtc("whep", &play_token), hls]
            .into_iter()
            .chain(srt("request", &play_token))
            .collect(),
        access,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_the_tokens_where_the_protocol_wants_them() {
        let at =
            Endpoints { http: 8080, https: false, srt: Some(8890), rtmp: Some(1935), rtmps: None };
        let access = Access {
            publish_token: Some("p&1".into()),
            play_token: Some("q".into()),
            srt_passphrase: Some("ten letters".into()),
            ..Access::default()
        };
        let name = "studio-1".parse().expect("name");
        let view = addresses(&at, hostname("box.lan:8080"), &name, access);
        let urls: Vec<&str> =
            view.publish.iter().chain(&view.play).chain(&view.captions).map(|a| &*a.url).collect();
        assert_eq!(
            urls,
            [
                "srt://box.lan:8890?streamid=publish:studio-1:p%261&passphrase=ten%20letters",
                "rtmp://box.lan:1935/live",
                "http://box.lan:8080/whip/studio-1",
                "http://box.lan:8080/whep/studio-1",
                "http://box.lan:8080/hls/studio-1/index.m3u8?token=q",
                "srt://box.lan:8890?streamid=request:studio-1:q&passphrase=ten%20letters",
                "http://box.lan:8080/captions/studio-1/events?token=q",
                "ws://box.lan:8080/captions/studio-1/ws?token=q",
                "http://box.lan:8080/api/v1/streams/studio-1/captions/cues",
            ]
        );
        assert_eq!(view.publish[2].bearer.as_deref(), Some("p&1"));
    }

    #[test]
    fn a_host_header_cannot_smuggle_anything_in() {
        assert_eq!(hostname("box:8080"), "box");
        assert_eq!(hostname("[::1]:8080"), "[::1]");
        assert_eq!(hostname("x\" onload=1"), "localhost");
        assert_eq!(hostname(""), "localhost");
    }
}
