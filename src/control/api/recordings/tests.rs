use super::*;
use axum::Router;
use axum::http::Request;
use bytes::Bytes;
use tower::ServiceExt;

use crate::egress::record::{self, Settings};
use crate::flow::{self, CaptionFeeds, CueFeed, Feed, Inputs, Node, Task};
use crate::media::{Cue, Kind, Language, Origin, Stage};

#[test]
fn ranges_are_cut_to_the_file() {
    let check = |text: &str, expect: Option<(u64, u64)>| {
        assert_eq!(range(text, 100).ok().flatten(), expect, "{text}");
    };
    check("bytes=0-0", Some((0, 1)));
    check("bytes=10-", Some((10, 90)));
    check("bytes=10-500", Some((10, 90)));
    check("bytes=-5", Some((95, 5)));
    check("bytes=-500", Some((0, 100)));
    for ignored in ["items=0-1", "bytes=1-2,4-5", "bytes=5-1", "bytes=x-1", "bytes=-"] {
        assert!(matches!(range(ignored, 100), Ok(None)), "{ignored}");
    }
    for beyond in ["bytes=100-", "bytes=200-300", "bytes=-0"] {
        assert!(range(beyond, 100).is_err(), "{beyond}");
    }
    assert!(range("bytes=0-", 0).is_err());
}

proptest::proptest! {
    #[test]
    fn any_range_stays_inside(text in "bytes=[0-9]{0,20}-[0-9]{0,20}", length: u64) {
        if let Ok(Some((first, count))) = range(&text, length) {
            assert!(count > 0 && first + count <= length);
        }
    }
}

async fn call(app: &Router, method: &str, path: &str, range: Option<&str>) -> (Response, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
    }
    let request = request.body(Body::empty()).expect("a request");
    let (head, body) = app.clone().oneshot(request).await.expect("an answer").into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
    (Response::from_parts(head, Body::empty()), body)
}

fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).expect("json")
}

/// The routes by themselves, without the guard.
fn router(catalogue: Catalogue) -> Router {
    let table = RouteTable::new(utoipa_axum::router::OpenApiRouter::new(), None);
    add::<Catalogue>(table).finish().with_state(catalogue).into()
}

fn said_now() -> Cue {
    let start = std::time::Duration::from_nanos(flow::now().nseconds());
    Cue {
        id: 1,
        language: Language::english(),
        stage: Stage::Committed,
        start,
        end: start + std::time::Duration::from_secs(1),
        text: "hello".into(),
        words: std::sync::Arc::default(),
        ends_sentence: true,
        origin: std::sync::Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

/// A stream that is recorded while the API is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_listed_served_and_deleted() {
    crate::init().expect("GStreamer starts");
    let pattern = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
         ! x264enc key-int-max=30 speed-preset=ultrafast ! h264parse config-interval=-1 \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=video";
    let pattern = Node::parse("pattern", pattern).expect("elements are installed");
    let feed = Feed::new("video", Kind::Video);
    pattern.output("video", &feed.sole_writer()).expect("an appsink");
    pattern.start().await.expect("starts");
    let root = tempfile::tempdir().expect("a folder");
    let (captions, caption_feeds) =
        (CueFeed::new("captions.en", Language::english()), CaptionFeeds::default());
    caption_feeds.set(vec![captions.clone()]);
    let inputs = Inputs { video: Some(feed), captions: caption_feeds, ..Inputs::default() };
    let task = Task::new("record");
    let stream: StreamName = "studio-1".parse().expect("a name");
    let settings = Settings { keep_free_mib: 0, ..Settings::default() };
    let recorder = record::run(task.clone(), stream, inputs, settings, root.path().to_owned());
    let recorder = tokio::spawn(recorder);
    let app = router(Catalogue::new(root.path()));

    let seen = async {
        loop {
            let (_, body) = call(&app, "GET", "/api/v1/recordings?stream=studio-1", None).await;
            let page = json(&body);
            if page["items"][0]["duration_s"].as_f64().is_some_and(|d| d > 1.0) {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let page = tokio::time::timeout(std::time::Duration::from_secs(20), seen).await;
    let page = page.expect("a recording is listed in time");
    assert_eq!((page["total"].as_u64(), &page["items"][0]["state"]), (Some(1), &"writing".into()));
    let one =
        format!("/api/v1/recordings/studio-1/{}", page["items"][0]["id"].as_str().expect("id"));

    let (response, body) = call(&app, "DELETE", &one, None).await;
    assert_eq!(
        (response.status(), &json(&body)["code"]),
        (StatusCode::CONFLICT, &"recording_open".into())
    );
    let (response, body) = call(&app, "GET", &format!("{one}/file"), Some("bytes=4-11")).await;
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(&body[..], b"ftypiso6");
    let range = response.headers()[header::CONTENT_RANGE].to_str().expect("text").to_owned();
    assert!(range.starts_with("bytes 4-11/"), "{range}");

    captions.publish(said_now());
    let text = async {
        loop {
            let (response, body) = call(&app, "GET", &format!("{one}/captions/en.vtt"), None).await;
            // The file exists and is valid shortly before it has its first caption.
            if response.status() == StatusCode::OK && body.len() > b"WEBVTT\n\n".len() {
                assert_eq!(response.headers()[header::CONTENT_TYPE], "text/vtt; charset=utf-8");
                return body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let text = tokio::time::timeout(std::time::Duration::from_secs(20), text).await;
    let text = text.expect("captions are there in time");
    assert!(text.starts_with(b"WEBVTT\n\n1\n00:00:0") && text.ends_with(b"hello\n\n"), "{text:?}");

    task.cancel.cancel();
    recorder.await.expect("no panic").expect("ends well");
    let (_, body) = call(&app, "GET", &one, None).await;
    let entry = json(&body);
    assert_eq!((&entry["state"], &entry["captions"]), (&"complete".into(), &vec!["en"].into()));
    let (response, body) = call(&app, "GET", &format!("{one}/captions/en.json"), None).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(json(&body)["cues"][0]["engine"], "test");
    is_served_whole(&app, &one, entry["bytes"].as_u64()).await;
    has_a_thumbnail_and_can_be_deleted(&app, &one).await;
    let left = std::fs::read_dir(root.path().join("studio-1")).expect("readable").count();
    assert_eq!(left, 0, "the thumbnail and the captions are gone too");
}

/// The file has this length; captions and ranges that do not exist are refused.
async fn is_served_whole(app: &Router, one: &str, bytes: Option<u64>) {
    for missing in ["fr.vtt", "en.txt", "en", "..%2fen.vtt"] {
        let (response, _) = call(app, "GET", &format!("{one}/captions/{missing}"), None).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{missing}");
    }
    let (response, body) = call(app, "GET", &format!("{one}/file"), None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(Some(body.len() as u64), bytes);
    let (response, body) =
        call(app, "GET", &format!("{one}/file"), Some("bytes=99999999999-")).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{body:?}");
}

/// Fetches the thumbnail twice, the second time from the cache, and deletes the recording.
async fn has_a_thumbnail_and_can_be_deleted(app: &Router, one: &str) {
    for _ in 0..2 {
        let (response, body) = call(app, "GET", &format!("{one}/thumbnail"), None).await;
        assert_eq!(response.status(), StatusCode::OK, "{body:?}");
        assert_eq!(&body[..3], b"\xff\xd8\xff", "a JPEG");
    }
    let (response, _) = call(app, "DELETE", one, None).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let (response, body) = call(app, "GET", one, None).await;
    assert_eq!(
        (response.status(), &json(&body)["code"]),
        (StatusCode::NOT_FOUND, &"unknown_recording".into())
    );
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let root = tempfile::tempdir().expect("a folder");
    let app = router(Catalogue::new(root.path().join("recordings")));
    std::fs::write(root.path().join("2026-11-23T16-03-16.250Z.mp4"), "secret").expect("written");
    for path in [
        "..%2f2026-11-23T16-03-16.250Z",
        "studio-1/..%2f..%2f2026-11-23T16-03-16.250Z",
        "%2e%2e/2026-11-23T16-03-16.250Z",
    ] {
        for tail in ["", "/file", "/thumbnail"] {
            let (response, body) =
                call(&app, "GET", &format!("/api/v1/recordings/{path}{tail}"), None).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}{tail} {body:?}");
        }
    }
    let (response, body) = call(&app, "GET", "/api/v1/recordings", None).await;
    assert_eq!((response.status(), &json(&body)["total"]), (StatusCode::OK, &0.into()));
}

#[test]
fn fuzz_range_header() {
    crate::fuzz::run("range-header", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for length in [0, 1, 1000, u64::MAX] {
            if let Ok(Some((first, count))) = range(&text, length) {
                assert!(count > 0 && first + (count - 1) < length, "{text}: {first} {count}");
            }
        }
    });
}
