//! `/api/v1/streams/{name}/access`: tokens, and the URLs for publishing and playing.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::extract::Params;
use super::{ApiState, Error, Failures};
use crate::control::auth::{Principal, Scope};
use crate::control::origin::{Endpoints, Origin};
use crate::media::{StreamName, fits_address};
use crate::runtime::Access;

/// Unreserved characters (RFC 3986, section 2.3) stay as they are, because few SRT clients decode
/// them.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One URL for publishing or playing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Address {
    /// `srt`, `rtmp`, `rtmps`, `whip`, `whep`, `hls`, `dash`, `voice`; for captions `sse`, `websocket`, `push`.
    protocol: &'static str,
    /// URL for the encoder or player. It contains the token if the protocol has no other place for
    /// it.
    url: String,
    /// The stream key, for encoders with a separate field for it.
    key: Option<String>,
    /// The token for `Authorization: Bearer`, for WHIP and WHEP.
    bearer: Option<String>,
    /// The SRT passphrase, for encoders with a separate field for it. `url` contains it too, unless
    /// it has a character that a URL cannot carry.
    passphrase: Option<String>,
}

/// Who may publish and play a stream, and where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AccessView {
    access: Access,
    publish: Vec<Address>,
    play: Vec<Address>,
    /// URLs for captions: `sse` and `websocket`, which both take `language`, and `push`, which
    /// needs a token of the API with the role `operator`.
    captions: Vec<Address>,
}

/// The tokens of a stream and the URLs that use them. Those who may not operate get what playing needs.
#[utoipa::path(get, path = "/api/v1/streams/{name}/access", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = AccessView), Failures))]
pub(super) async fn get_access(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Extension(principal): Extension<Principal>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Error> {
    view(&state, &name, &principal, peer, &headers)
}

/// Generates new tokens. Connected clients stay; the old tokens become invalid.
#[utoipa::path(post, path = "/api/v1/streams/{name}/access/rotate", tag = "streams",
    params(("name" = String, Path)), responses((status = 200, body = AccessView), Failures))]
pub(super) async fn rotate_access(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Extension(principal): Extension<Principal>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Error> {
    state.stream_service.rotate_tokens(&name).await?;
    view(&state, &name, &principal, peer, &headers)
}

fn view(
    state: &ApiState,
    name: &StreamName,
    principal: &Principal,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: &HeaderMap,
) -> Result<impl IntoResponse + use<>, Error> {
    let access = state.supervisor().spec(name)?.access;
    let peer = peer.map(|Extension(ConnectInfo(address))| address.ip());
    let origin = state.public.of(headers, peer, &state.endpoints);
    let mut addresses = addresses(&state.endpoints, &origin, name, access);
    if !principal.may(Scope::Operate) {
        addresses.access.publish_token = None;
        addresses.publish.clear();
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(addresses)))
}

fn addresses(at: &Endpoints, origin: &Origin, name: &StreamName, access: Access) -> AccessView {
    let (web, host) = (origin.web(), origin.host());
    let encode = |text: &String| utf8_percent_encode(text, ENCODED).to_string();
    let publish_token = access.publish_token.clone().filter(|_| !access.open_publish);
    let play_token = access.play_token.clone().filter(|_| !access.open_play);
    let plain =
        |protocol, url| Address { protocol, url, key: None, bearer: None, passphrase: None };
    let passphrase = access.srt_passphrase.clone();
    // Unencoded: no client decodes percent-encoding here, and passphrases that need it were
    // rejected.
    let shown = passphrase.as_ref().filter(|p| fits_address(p));
    let shown = shown.map_or_else(String::new, |p| format!("&passphrase={p}"));
    let srt = |action: &str, token: &Option<String>| {
        // Clients that do not decode it send the token encoded, which the gate accepts too.
        let token = token.as_ref().map_or_else(String::new, |t| format!(":{}", encode(t)));
        let url = format!("srt://{host}:{}?streamid={action}:{name}{token}{shown}", at.srt?);
        Some(Address { passphrase: passphrase.clone(), ..plain("srt", url) })
    };
    let rtmp = |protocol, port: Option<u16>| {
        let token = publish_token.as_ref();
        let key = token.map_or_else(|| name.to_string(), |t| format!("{name}?token={}", encode(t)));
        let url = format!("{protocol}://{host}:{}/live", port?);
        Some(Address { key: Some(key), ..plain(protocol, url) })
    };
    let web_rtc = |protocol, token: &Option<String>| Address {
        bearer: token.clone(),
        ..plain(protocol, format!("{web}/{protocol}/{name}"))
    };
    let query = play_token.as_ref().map_or_else(String::new, |t| format!("?token={}", encode(t)));
    let hls = plain("hls", format!("{web}/hls/{name}/index.m3u8{query}"));
    let voice = format!("{web}/voice/{name}").replacen("http", "ws", 1);
    let voice = plain("voice", format!("{voice}{query}"));
    let dash = plain("dash", format!("{web}/dash/{name}/manifest.mpd{query}"));
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
        play: [web_rtc("whep", &play_token), hls, dash]
            .into_iter()
            .chain(srt("request", &play_token))
            .chain([voice])
            .collect(),
        access,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::control::origin::PublicAddress;

    fn urls(access: Access) -> Vec<String> {
        let at =
            Endpoints { http: 8080, https: false, srt: Some(8890), rtmp: Some(1935), rtmps: None };
        let headers = [(header::HOST, HeaderValue::from_static("box.lan:8080"))];
        let origin = PublicAddress::default().of(&headers.into_iter().collect(), None, &at);
        let view = addresses(&at, &origin, &"studio-1".parse().expect("name"), access);
        let all = view.publish.iter().chain(&view.play).chain(&view.captions);
        all.map(|a| {
            [Some(&a.url), a.key.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
    }

    #[test]
    fn addresses_carry_the_tokens_where_the_protocol_wants_them() {
        let access = Access {
            publish_token: Some("p&1-._~+%".into()),
            play_token: Some("q".into()),
            srt_passphrase: Some("ten-letters, or more".into()),
            ..Access::default()
        };
        assert_eq!(
            urls(access),
            [
                "srt://box.lan:8890?streamid=publish:studio-1:p%261-._~%2B%25\
                 &passphrase=ten-letters, or more",
                "rtmp://box.lan:1935/live studio-1?token=p%261-._~%2B%25",
                "http://box.lan:8080/whip/studio-1",
                "http://box.lan:8080/whep/studio-1",
                "http://box.lan:8080/hls/studio-1/index.m3u8?token=q",
                "http://box.lan:8080/dash/studio-1/manifest.mpd?token=q",
                "srt://box.lan:8890?streamid=request:studio-1:q&passphrase=ten-letters, or more",
                "ws://box.lan:8080/voice/studio-1?token=q",
                "http://box.lan:8080/captions/studio-1/events?token=q",
                "ws://box.lan:8080/captions/studio-1/ws?token=q",
                "http://box.lan:8080/api/v1/streams/studio-1/captions/cues",
            ]
        );
    }

    #[test]
    fn a_passphrase_that_no_address_carries_stands_beside_it() {
        let access = Access {
            srt_passphrase: Some("letters&more".into()),
            open_publish: true,
            ..Access::default()
        };
        assert_eq!(urls(access)[0], "srt://box.lan:8890?streamid=publish:studio-1");
    }
}
