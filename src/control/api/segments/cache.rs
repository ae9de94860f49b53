//! What caches may do with an answer: RFC 9111, and the lifetimes of rfc8216bis, appendix B.1.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Media files and caption segments never change; players need none for longer.
const MEDIA_LIFETIME_S: u64 = 3600;

/// How long a cache may admit players by an earlier answer: what a withdrawn token still opens.
const ADMISSION_LIFETIME_S: u64 = 5;

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Every cache: the credential is part of the URL, or none is needed.
    Public,
    /// The player alone: the credential was a header, which caches do not distinguish.
    Private,
}

impl Sharing {
    /// For answers to a request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let hidden = headers.contains_key(header::AUTHORIZATION);
        if hidden { Self::Private } else { Self::Public }
    }
}

/// How long an answer stays right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The file never changes.
    Media,
    /// A manifest.
    Manifest(Duration),
    /// An admission.
    Admission,
}

/// The value of `Cache-Control`.
fn cache_control(sharing: Sharing, lifetime: Lifetime) -> String {
    let sharing = match sharing {
        Sharing::Public => "public",
        Sharing::Private => "private",
    };
    match lifetime {
        Lifetime::Media => format!("{sharing}, max-age={MEDIA_LIFETIME_S}, immutable"),
        Lifetime::Manifest(lifetime) => format!("{sharing}, max-age={}", lifetime.as_secs().max(1)),
        Lifetime::Admission => format!("{sharing}, max-age={ADMISSION_LIFETIME_S}"),
    }
}

/// The entity tag of a manifest, by its text.
pub(super) fn tag_of(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether the client has the entity already (RFC 9110, 13.1.2). Caches that compress make tags
/// weak.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let listed = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    listed
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// What is answered: the body, with its headers for caches.
pub(super) struct Answer {
    pub(super) content_type: &'static str,
    /// In quotes.
    pub(super) tag: String,
    pub(super) lifetime: Lifetime,
    pub(super) body: Body,
    /// Length of the body in bytes.
    pub(super) length: usize,
}

impl Answer {
    /// The response to a request with these headers: 304 without the body if the client has it.
    pub(super) fn respond(self, request: &HeaderMap) -> Response {
        let sharing = Sharing::of(request);
        let mut response = if has(request, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(self.body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
            response
        };
        put(&mut response, header::ETAG, &self.tag);
        put(&mut response, header::CACHE_CONTROL, &cache_control(sharing, self.lifetime));
        response
    }
}

/// The answer that admits a player.
pub(super) fn admitted(request: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let text = cache_control(Sharing::of(request), Lifetime::Admission);
    put(&mut response, header::CACHE_CONTROL, &text);
    response
}

fn put(response: &mut Response, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_who_may_keep_what_for_how_long() {
        let check = |sharing, lifetime, expect: &str| {
            assert_eq!(cache_control(sharing, lifetime), expect);
        };
        let manifest = |ms| Lifetime::Manifest(Duration::from_millis(ms));
        check(Sharing::Public, Lifetime::Media, "public, max-age=3600, immutable");
        check(Sharing::Private, Lifetime::Media, "private, max-age=3600, immutable");
        check(Sharing::Public, manifest(12_000), "public, max-age=12");
        check(Sharing::Public, manifest(500), "public, max-age=1");
        check(Sharing::Public, Lifetime::Admission, "public, max-age=5");
    }

    #[test]
    fn what_the_client_has_is_recognised() {
        let check = |known: &str, expect| {
            let value = HeaderValue::from_str(known).expect("a header");
            let headers = [(header::IF_NONE_MATCH, value)].into_iter().collect();
            assert_eq!(has(&headers, "\"a\""), expect, "{known}");
        };
        check("\"a\"", true);
        check("W/\"a\"", true);
        check("\"b\", \"a\"", true);
        check("*", true);
        check("\"b\"", false);
        check("a", false);
    }
}
