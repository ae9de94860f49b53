//! Answers of the HTTP port to invalid requests, and to pages of other origins.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::api::Answer;
use crate::support::appliance::{ADMIN, Appliance};
use crate::support::s;

/// Sends a request exactly as given; returns the status and what follows the header.
async fn raw(appliance: &Appliance, request: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", appliance.ports.http)).await.expect("open");
    socket.write_all(request).await.expect("it is sent");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(s(20), socket.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").expect("an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    (status, body.to_owned())
}

const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";
const SDP: &str = "Content-Type: application/sdp\r\n";

/// Requests that are refused: expected status, token, request line, header, body. `PLAY` stands for
/// the play token of the stream `studio`, `=ADMIN` for the admin token.
const REFUSED: [(u16, &str, &str, &str, &str); 44] = [
    (404, ADMIN, "GET /nowhere", "", ""),
    (404, ADMIN, "GET /api/v1/nowhere", "", ""),
    (404, ADMIN, "GET /hls/studio/no/such", "", ""),
    (404, ADMIN, "GET /api/v1/streams/%ff", "", ""),
    (404, ADMIN, "GET /api/v1/streams/a%2Fb", "", ""),
    (404, ADMIN, "GET /hls/%ff/index.m3u8?token=PLAY", "", ""),
    (404, ADMIN, "GET /captions/%ff/events", "", ""),
    (404, ADMIN, "POST /whip/%ff", SDP, "v=0"),
    (404, ADMIN, "GET /api/v1/recordings/%ff/1", "", ""),
    (405, ADMIN, "DELETE /", "", ""),
    (405, ADMIN, "POST /hls/studio/index.m3u8", "", ""),
    (405, ADMIN, "GET /whep/studio", "", ""),
    (405, ADMIN, "PUT /api/v1/streams", JSON, "{}"),
    (405, ADMIN, "TRACE /healthz", "", ""),
    (400, ADMIN, "GET /hls/studio/video.m3u8?token=PLAY&_HLS_part=0", "", ""),
    (400, ADMIN, "GET /hls/studio/video.m3u8?token=PLAY&_HLS_msn=x", "", ""),
    (400, ADMIN, "GET /hls/studio/video.m3u8?token=PLAY&_HLS_msn=-1", "", ""),
    (400, ADMIN, "GET /api/v1/recordings?limit=many", "", ""),
    (400, ADMIN, "GET /api/v1/recordings?limit=1&limit=2", "", ""),
    (400, ADMIN, "DELETE /api/v1/recordings/studio/1?force=maybe", "", ""),
    (400, ADMIN, "GET /api/v1/archive/search?limit=-1&q=a", "", ""),
    (400, ADMIN, "GET /api/v1/streams/studio/captions/events?partial=perhaps", "", ""),
    (400, "PLAY", "GET /captions/studio/events?recent=all", "", ""),
    (400, "PLAY", "GET /captions/studio/ws", "", ""),
    (400, ADMIN, "GET /api/v1/streams/studio/captions/ws", "", ""),
    (400, ADMIN, "GET /streaming-whisper/ws/room?auth_token=ADMIN", "", ""),
    (400, ADMIN, "POST /api/v1/streams", JSON, "{\"name\": "),
    (400, ADMIN, "POST /api/v1/streams", JSON, "{\"name\": \"\u{0}\"}"),
    (422, ADMIN, "POST /api/v1/streams", JSON, "[]"),
    (422, ADMIN, "POST /api/v1/streams", JSON, "{\"name\": 7}"),
    (422, ADMIN, "PATCH /api/v1/streams/studio/captions", JSON, "{\"enabled\": 7}"),
    (415, ADMIN, "POST /api/v1/streams", "", "{\"name\": \"x\"}"),
    (415, ADMIN, "POST /api/v1/session", "Content-Type: text/plain\r\n", "token"),
    (415, "PLAY", "POST /whep/studio", "", "v=0"),
    (415, ADMIN, "POST /v1/audio/transcriptions", JSON, "{}"),
    (415, ADMIN, "POST /v1/audio/translations", "", ""),
    (
        422,
        ADMIN,
        "POST /v1/audio/transcriptions",
        FORM,
        "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n",
    ),
    (
        400,
        ADMIN,
        "POST /v1/audio/transcriptions",
        FORM,
        "--b\r\nContent-Disposition: form-data; na",
    ),
    (401, "wrong", "GET /api/v1/streams", "", ""),
    (401, "wrong", "GET /hls/studio/index.m3u8", "", ""),
    (401, "", "GET /hls/studio/wrong/index.m3u8", "", ""),
    (401, "", "GET /dash/studio/wrong/manifest.mpd?token=PLAY", "", ""),
    (401, "wrong", "GET /metrics", "", ""),
    (401, "wrong", "GET /captions/studio/events", "", ""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_says_code_message_and_hint() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let play = stream.play_token();
    for (expect, token, line, header, body) in REFUSED {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Authorization: Bearer {token}\r\n{header}\r\n{body}"
        );
        let request = request.replace("PLAY", &play).replace("=ADMIN", &format!("={ADMIN}"));
        let (status, body) = raw(&appliance, request.as_bytes()).await;
        let line = request.lines().next().unwrap_or_default();
        let said: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let full = ["code", "message", "hint"]
            .iter()
            .all(|field| said[field].as_str().is_some_and(|text| !text.is_empty()));
        assert!(status == expect && full, "`{line}`: {status}, expected {expect}: `{body}`");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_on_another_origin_may_ask_every_media_route() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "studio" })).await;
    let preflight = async |api: &crate::support::api::Api, path: &str, method: &str| -> Answer {
        let request = api.raw(Method::OPTIONS, path).header("Origin", "https://player.example");
        let request = request
            .header("Access-Control-Request-Method", method)
            .header("Access-Control-Request-Headers", "authorization");
        api.send(request).await.expect("an answer")
    };
    let routes = [
        ("/hls/studio/index.m3u8", "GET"),
        ("/hls/any/video.17.m4s", "GET"),
        ("/hls/any/token/video.17.m4s", "GET"),
        ("/dash/studio/manifest.mpd", "GET"),
        ("/whip/studio", "POST"),
        ("/whip/studio/0123", "PATCH"),
        ("/whep/studio", "POST"),
        ("/whep/studio/0123", "DELETE"),
        ("/captions/studio/events", "GET"),
        ("/captions/studio/ws", "GET"),
        ("/api/v1/streams/studio/thumbnail.jpg", "GET"),
        ("/api/v1/recordings/studio/1/file", "GET"),
        ("/api/v1/recordings/studio/1/captions/en.vtt", "GET"),
    ];
    for (path, method) in routes {
        let answer = preflight(&appliance.api, path, method).await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "authorization", "{path}");
        let methods = answer.header("access-control-allow-methods");
        assert!(methods.contains(method), "{path}: {methods}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
    }
    // Pages of other origins may read the answer, even a refusal.
    let nobody = appliance.api.with_token("");
    let refused = nobody.get("/hls/studio/index.m3u8").await.expect("an answer");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "*"));
    // The API is only for its own page.
    for path in ["/api/v1/streams", "/api/v1/session", "/api/v1/streams/studio"] {
        let answer = preflight(&appliance.api, path, "GET").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    appliance.api.must_delete(&stream.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_name_or_page_gets_nothing_from_an_open_appliance() {
    let appliance =
        Appliance::start_with("api.open = true\napi.allowed_hosts = [\"studio.example\"]\n").await;
    let nobody = appliance.api.with_token("");
    let ask = async |method: Method, path: &str, headers: &[(&str, &str)]| -> Answer {
        let request = nobody.raw(method, path).header("Content-Type", "application/json");
        let request = request.body("{\"name\": \"made\"}");
        let named = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        nobody.send(named).await.expect("an answer")
    };
    let streams = "/api/v1/streams";
    for host in ["127.0.0.1", "localhost:8080", "studio.example", "[::1]:1"] {
        let answer = ask(Method::GET, streams, &[("Host", host)]).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text);
    }
    for method in [Method::GET, Method::POST] {
        let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")];
        let answer = ask(method, streams, &rebound).await;
        assert_eq!((answer.status, &answer.json()["code"]), (421, &json!("unknown_host")));
    }
    let events = ask(Method::GET, "/api/v1/events", &[("Host", "evil.example")]).await;
    assert_eq!(events.status, 421);
    // A WebSocket from a page of another origin.
    let path = "/api/v1/streams/made/captions/ws";
    let mut handshake = vec![
        ("Origin", "https://evil.example"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = ask(Method::GET, path, &handshake).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("forbidden")));
    handshake.remove(0);
    let answer = ask(Method::GET, path, &handshake).await;
    assert_eq!(answer.status, 404, "without a browser it gets as far as the stream");
    assert_eq!(appliance.api.must_get(streams).await["streams"], json!([]), "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_token_signs_in_however_many_wrong_ones_came_before() {
    let appliance = Appliance::start().await;
    let sign_in = async |token: &str| {
        let body = json!({ "token": token });
        let api = appliance.api.with_token("");
        let answer = api.request(Method::POST, "/api/v1/session", Some(&body)).await;
        answer.expect("an answer")
    };
    let mut last = 0;
    for guess in 0..12 {
        let answer = sign_in(&format!("guess {guess}")).await;
        assert!([401, 429].contains(&answer.status), "{}", answer.text);
        last = answer.status;
    }
    assert_eq!(last, 429, "a guesser is told to wait");
    assert_eq!(sign_in(crate::support::appliance::ADMIN).await.status, 204);
    let slowed = sign_in("another guess").await;
    assert_eq!(slowed.status, 429, "{}", slowed.text);
    assert!(!slowed.header("retry-after").is_empty());
}
