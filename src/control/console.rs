//! The web page, embedded.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// The files of the page: path, media type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../../web/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../../web/style.css")),
    ("/page/main.js", "text/javascript; charset=utf-8", include_str!("../../web/main.js")),
    ("/page/api.js", "text/javascript; charset=utf-8", include_str!("../../web/api.js")),
    ("/page/schema.js", "text/javascript; charset=utf-8", include_str!("../../web/schema.js")),
    ("/page/stream.js", "text/javascript; charset=utf-8", include_str!("../../web/stream.js")),
    ("/page/graph.js", "text/javascript; charset=utf-8", include_str!("../../web/graph.js")),
    ("/page/captions.js", "text/javascript; charset=utf-8", include_str!("../../web/captions.js")),
    ("/page/outputs.js", "text/javascript; charset=utf-8", include_str!("../../web/outputs.js")),
    ("/page/cluster.js", "text/javascript; charset=utf-8", include_str!("../../web/cluster.js")),
    ("/page/tokens.js", "text/javascript; charset=utf-8", include_str!("../../web/tokens.js")),
    ("/page/viewers.js", "text/javascript; charset=utf-8", include_str!("../../web/viewers.js")),
    ("/page/trunk.js", "text/javascript; charset=utf-8", include_str!("../../web/trunk.js")),
    ("/page/player.js", "text/javascript; charset=utf-8", include_str!("../../web/player.js")),
    ("/page/quality.js", "text/javascript; charset=utf-8", include_str!("../../web/quality.js")),
    ("/page/voice.js", "text/javascript; charset=utf-8", include_str!("../../web/voice.js")),
    (
        "/page/voice-decoder.js",
        "text/javascript; charset=utf-8",
        include_str!("../../web/voice-decoder.js"),
    ),
    (
        "/page/voice-worker.js",
        "text/javascript; charset=utf-8",
        include_str!("../../web/voice-worker.js"),
    ),
    (
        "/page/voice-worklet.js",
        "text/javascript; charset=utf-8",
        include_str!("../../web/voice-worklet.js"),
    ),
    (
        "/page/live-voice.js",
        "text/javascript; charset=utf-8",
        include_str!("../../web/live-voice.js"),
    ),
    (
        "/page/live-voice-worker.js",
        "text/javascript; charset=utf-8",
        include_str!("../../web/live-voice-worker.js"),
    ),
    (
        "/page/live-voice-worklet.js",
        "text/javascript; charset=utf-8",
        include_str!("../../web/live-voice-worklet.js"),
    ),
    ("/favicon.svg", "image/svg+xml", include_str!("../../web/favicon.svg")),
];

/// The decoder of voices; empty if `make wasm` was not run before the build.
const VOICE_DECODER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/voice.wasm"));

/// Serves the page. It contains no secrets: its data comes from the API, behind the guard.
pub(super) fn router() -> Router {
    let router = FILES.iter().fold(Router::new(), |router, &(path, media_type, content)| {
        route(router, path, media_type, content.as_bytes())
    });
    match VOICE_DECODER {
        [] => router,
        decoder => route(router, "/page/voice.wasm", "application/wasm", decoder),
    }
}

fn route(router: Router, path: &str, media_type: &'static str, content: &'static [u8]) -> Router {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")];
    router.route(path, get(move || async move { (headers, content).into_response() }))
}
