//! The client against a real server that misbehaves in many ways.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;

use super::*;

const SOON: Duration = Duration::from_millis(400);

/// Serves `router` on a free port and returns its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{at}")
}

/// A body that sends `first` and then nothing, or breaks off.
pub(crate) fn unfinished(first: &'static str, breaks: bool) -> Body {
    let piece = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(first))]);
    if breaks {
        let end = futures::stream::once(async {
            // Lets the server send what it has before the body ends.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("cable pulled"))
        });
        Body::from_stream(futures::StreamExt::chain(piece, end))
    } else {
        Body::from_stream(futures::StreamExt::chain(piece, futures::stream::pending()))
    }
}

fn client(base: &str, auth: Auth) -> Client {
    Client::new(base, &Secret::new("top-secret"), auth, SOON).expect("a valid address")
}

#[tokio::test]
async fn each_failure_is_told_apart_and_none_shows_the_key() {
    let refusal = |status: u16, retry: &'static str, body: &'static str| {
        let status = StatusCode::from_u16(status).expect("valid");
        move || async move { (status, [("retry-after", retry)], body).into_response() }
    };
    let site = Router::new()
        .route("/401", get(refusal(401, "", r#"{"error":{"message":"Incorrect API key"}}"#)))
        .route("/429", get(refusal(429, "7", r#"{"error":"Slowdown"}"#)))
        .route("/500", get(refusal(500, "x", "<html>proxy page</html>")))
        .route("/302", get(|| async { (StatusCode::FOUND, [("location", "/json")], "") }))
        .route("/json", get(|| async { "{\"a\": 1" }))
        .route("/huge", get(|| async { "x".repeat(1 << 20) }))
        .route("/half", get(|| async { unfinished("{\"a\"", true) }))
        .route("/stuck", get(|| async { unfinished("{\"a\"", false) }))
        .route("/mute", get(std::future::pending::<()>));
    let client = client(&serve(site).await, Auth::Bearer);
    let said = async |path: &str| {
        client.json::<serde_json::Value>(client.get(path), 1000).await.expect_err(path)
    };
    let server = client.server().to_owned();
    let errors = [
        (said("/401").await, "answered 401: Incorrect API key"),
        (said("/429").await, "answered 429: Slowdown"),
        (said("/500").await, "answered 500"),
        (said("/302").await, "answered 302"),
        (said("/json").await, "gave no valid answer: EOF"),
        (said("/huge").await, "answered more than 1000 bytes"),
        (said("/half").await, "gave no valid answer"),
        (said("/stuck").await, "did not answer within 400ms"),
        (said("/mute").await, "did not answer within 400ms"),
    ];
    for (error, expect) in &errors {
        let text = error.to_string();
        assert!(text.starts_with(&format!("{server} {expect}")), "{text}\n  instead of {expect}");
        assert!(!format!("{error:?}{text}").contains("top-secret"));
    }
    assert_eq!(errors[1].0.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(errors[2].0.retry_after(), None);
    assert!(!format!("{client:?}").contains("top-secret"));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}/v1", gone.local_addr().expect("bound"));
    drop(gone);
    let client = client(&base, Auth::Bearer);
    let error = client.bytes(client.get("/x"), 10).await.expect_err("nobody there");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_key_is_sent_where_the_protocol_wants_it() {
    let echo = |headers: HeaderMap| async move {
        let of = |name| headers.get(name).map_or("-", |v: &HeaderValue| v.to_str().expect("text"));
        format!("{} {}", of("authorization"), of("xi-api-key"))
    };
    let base = serve(Router::new().route("/v1/who", get(echo))).await;
    for (auth, expect) in [
        (Auth::Bearer, "Bearer top-secret -"),
        (Auth::Header("xi-api-key"), "- top-secret"),
        (Auth::Body, "- -"),
    ] {
        let client = client(&format!("{base}/v1/"), auth);
        let body = client.bytes(client.get("/who"), 100).await.expect("answers");
        assert_eq!(String::from_utf8_lossy(&body), expect);
    }
}

#[test]
fn addresses_are_checked_and_never_shown_with_what_is_secret_in_them() {
    for good in ["http://10.0.0.1:5000", "https://api.openai.com/v1", "http://[::1]:1/"] {
        assert!(address(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "api.openai.com",
        "ftp://x/",
        "http://me:hidden@x/",
        "http://x/?key=hidden",
        "http://me:hidden@[x/",
    ] {
        let error = address(bad).expect_err(bad).to_string();
        assert!(!error.contains("hidden"), "{error}");
    }
    let newline = Client::new("http://x", &Secret::new("a\nb"), Auth::Bearer, SOON);
    assert_eq!(newline.expect_err("no header").to_string(), Error::Key.to_string());
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let read = |text: &str| retry_after(&HeaderValue::from_str(text).expect("a header"));
    assert_eq!(read("30"), Some(Duration::from_secs(30)));
    assert_eq!(read("999999999"), Some(RETRY_AFTER_MAX));
    assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), None, "it has passed");
    assert_eq!(read("soon"), None);
    let ahead = chrono::Utc::now() + chrono::TimeDelta::seconds(90);
    let pause = read(&ahead.to_rfc2822()).expect("a date");
    assert!((80..=90).contains(&pause.as_secs()), "{pause:?}");
}
