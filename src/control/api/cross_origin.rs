//! CORS (Fetch standard, section 3.2): which routes a page of another origin may call.
//!
//! Media routes need a token that the page itself must send, so any origin may call them. Cookies
//! are never allowed: no answer has `Access-Control-Allow-Credentials`.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// How long a browser may cache a preflight answer, in seconds.
const PREFLIGHT_KEPT_S: HeaderValue = HeaderValue::from_static("86400");

/// Request headers that players and publishers send.
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, If-Match, Range, Last-Event-ID");

/// Response headers that players and publishers read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, ETag, Link, Accept-Patch, Retry-After, Content-Length, Content-Range, Accept-Ranges",
);

/// Middleware for the whole router including fallbacks. Answers preflights of media routes and
/// marks all their answers, also refusals, as readable from any origin. With `api_open` no token
/// protects thumbnails and recordings, so only the appliance's own page may read them.
pub(super) async fn cross_origin(
    State(api_open): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    let Some(methods) = methods(request.uri().path(), api_open) else {
        return next.run(request).await;
    };
    let preflight = request.method() == Method::OPTIONS;
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = next.run(request).await;
    if preflight && !response.status().is_success() {
        // A preflight carries no credential: it is always answered.
        response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().insert(header::ALLOW, methods.clone());
    }
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_KEPT_S);
        let varies = HeaderValue::from_static("access-control-request-headers");
        headers.insert(header::VARY, varies);
    }
    response
}

/// The methods of a media route. `None` for any other route.
fn methods(path: &str, api_open: bool) -> Option<HeaderValue> {
    let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    let picture = below(&["/api/v1/streams/"]) && path.ends_with("/thumbnail.jpg");
    let recording = below(&["/api/v1/recordings/"]);
    if below(&["/whip/", "/whep/"]) {
        Some(HeaderValue::from_static("POST, PATCH, DELETE, OPTIONS"))
    } else if below(&["/hls/", "/dash/", "/captions/"]) || (!api_open && (picture || recording)) {
        Some(HeaderValue::from_static("GET, HEAD, OPTIONS"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_for_every_origin_and_the_rest_for_our_own_page() {
        let check = |path: &str, api_open, expect: Option<&str>| {
            let found = methods(path, api_open);
            assert_eq!(found.as_ref().and_then(|m| m.to_str().ok()), expect, "{path}");
        };
        let reads = Some("GET, HEAD, OPTIONS");
        check("/hls/studio/index.m3u8", true, reads);
        check("/hls/studio/no/such/file", false, reads);
        check("/dash/studio/token/manifest.mpd", false, reads);
        check("/captions/studio/events", true, reads);
        check("/whip/studio", false, Some("POST, PATCH, DELETE, OPTIONS"));
        check("/whep/studio/0123", true, Some("POST, PATCH, DELETE, OPTIONS"));
        check("/api/v1/streams/studio/thumbnail.jpg", false, reads);
        check("/api/v1/streams/studio/thumbnail.jpg", true, None);
        check("/api/v1/recordings/studio/1/file", false, reads);
        check("/api/v1/recordings/studio/1/file", true, None);
        check("/api/v1/streams/studio", false, None);
        check("/", false, None);
    }
}
