//! The API on a real supervisor, without a network.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::control::Metrics;
use crate::control::archive::Archive;
use crate::control::auth::signed::{self, Verifier};
use crate::control::auth::{Auth, Hosts};
use crate::control::machine::Machine;
use crate::control::origin::Endpoints;
use crate::control::store::Store;
use crate::control::stream_service::{Owner, StreamService};
use crate::control::token_service::TokenService;
use crate::media::Secret;
use crate::runtime::{Options, Presets, SourceSpec, Speech, StreamSpec, Supervisor};

/// A Jigasi key pair, and its public key in a file.
pub(super) static JITSI: std::sync::LazyLock<(aws_lc_rs::rsa::KeyPair, tempfile::NamedTempFile)> =
    std::sync::LazyLock::new(|| {
        let pair = signed::testing::pair();
        let file = signed::testing::public(&pair);
        (pair, file)
    });

pub(super) const ADMIN: &str = "the admin token of these tests";

/// The token of the cluster.
const CLUSTER: &str = "the cluster token of these tests";

mod document;
mod tokens;
mod words;

/// The control plane with its folder, which is deleted at the end.
pub(super) struct Fixture {
    pub(super) router: Router,
    pub(super) stream_service: StreamService,
    archive: Archive,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::on(tempfile::tempdir().expect("temporary folder")).await
    }

    async fn on(folder: tempfile::TempDir) -> Self {
        crate::init().expect("GStreamer starts");
        let store = Store::open(&Default::default(), folder.path()).await.expect("opens");
        let machine = Machine::for_tests();
        let options = Options {
            recordings: folder.path().join("recordings"),
            dvr: folder.path().join("dvr"),
            streams_max: 10,
            viewers_max: 10,
            presets: Presets::load(None).expect("built-in presets"),
            segments: Default::default(),
            encode: Default::default(),
            webrtc: Default::default(),
            sources: Default::default(),
            origins: Default::default(),
        };
        let supervisor = Supervisor::new(options, machine.encoders.clone(), Speech::default());
        let (archive, writer) = Archive::new(store.cues.clone());
        tokio::spawn(writer.run(CancellationToken::new()));
        let auth = Auth::new(
            &Auth::digest(ADMIN),
            &Secret::new(CLUSTER),
            false,
            Hosts::new(["box".to_owned()]),
        );
        let auth = auth.expect("a digest");
        let token_service = TokenService::load(store.api_tokens.clone(), auth.clone()).await;
        let stream_service = StreamService::new(supervisor.clone(), store);
        let web_rtc =
            webrtc::WebRtc::new(std::sync::Arc::new(supervisor.clone()), Default::default())
                .expect("a port is free");
        let state = ApiState::new(Parts {
            stream_service: stream_service.clone(),
            auth,
            token_service: token_service.expect("reads"),
            jitsi: Some(Verifier::read(JITSI.1.path(), "jitsi").expect("a key")),
            archive: archive.clone(),
            metrics: Metrics::new(false).expect("names are legal"),
            sessions: web_rtc.registry().clone(),
            machine,
            endpoints: Endpoints { http: 8080, ..Endpoints::default() },
            public: Default::default(),
            recordings: folder.path().join("recordings"),
            open_metrics: false,
            started: std::sync::Arc::new(true.into()),
            shutdown: CancellationToken::new(),
        });
        let router = router(state, media_router(&supervisor, web_rtc));
        Self { router, stream_service, archive, folder }
    }

    pub(super) async fn send(
        &self,
        request: Request<Body>,
    ) -> (StatusCode, axum::http::HeaderMap, Value) {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        (parts.status, parts.headers, value)
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"));
        if !body.is_null() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let (status, _, value) = self.send(request.body(body).expect("a request")).await;
        (status.as_u16(), value)
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, Value::Null).await
    }

    pub(super) async fn refused(&self, method: Method, path: &str, body: Value, expect: Code) {
        let shown = format!("{method} {path} {body}");
        let (status, value) = self.ask(method, path, body).await;
        assert_eq!(value["code"], expect.as_str(), "{shown}: {status} {value}");
        assert_eq!(status, expect.status().as_u16(), "{shown}");
        for field in ["message", "hint"] {
            assert!(value[field].as_str().is_some_and(|t| !t.is_empty()), "{shown}: {value}");
        }
    }
}

#[test]
fn the_checked_in_document_is_the_served_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == document_json(),
        "docs/openapi.json is not what is served: cargo run -- openapi > docs/openapi.json"
    );
}

#[tokio::test]
async fn a_stream_lives_from_post_to_delete() {
    let api = Fixture::new().await;
    let body = json!({"name": "studio", "source": {"type": "test"}, "preset": "clean-audio"});
    let (status, made) = api.ask(Method::POST, "/api/v1/streams", body.clone()).await;
    assert_eq!((status, &made["owner"]), (201, &json!("api")), "{made}");
    assert!(made["access"]["publish_token"].as_str().is_some_and(|t| t.len() >= 32), "{made}");
    api.refused(Method::POST, "/api/v1/streams", body, Code::StreamExists).await;
    let (_, list) = api.get("/api/v1/streams").await;
    assert_eq!(list["streams"][0]["name"], "studio");

    let change = json!({"linger_s": 7, "on_conflict": "replace"});
    let (status, _) = api.ask(Method::PATCH, "/api/v1/streams/studio", change).await;
    assert_eq!(status, 200);
    let (_, spec) = api.get("/api/v1/streams/studio/spec").await;
    assert_eq!((&spec["linger_s"], &spec["on_conflict"]), (&json!(7), &json!("replace")));

    let softer = json!({"max_attenuation_db": 12});
    let (status, now) = api.ask(Method::PATCH, "/api/v1/streams/studio/denoise", softer).await;
    assert_eq!((status, &now["enabled"]), (200, &json!(true)), "{now}");
    let wrong = json!({"mix": 2});
    api.refused(Method::PATCH, "/api/v1/streams/studio/denoise", wrong, Code::Invalid).await;

    let (status, dot) = api.get("/api/v1/streams/studio/graph.dot").await;
    assert!(status == 200 && dot.as_str().is_some_and(|d| d.contains("digraph")), "{dot}");
    let (status, _) = api.ask(Method::DELETE, "/api/v1/streams/studio", Value::Null).await;
    assert_eq!(status, 204);
    api.refused(Method::GET, "/api/v1/streams/studio", Value::Null, Code::UnknownStream).await;
}

#[tokio::test]
async fn outputs_come_and_go_and_survive_a_restart() {
    let api = Fixture::new().await;
    api.ask(Method::POST, "/api/v1/streams", json!({"name": "studio"})).await;
    let at = "/api/v1/streams/studio/outputs";
    let push = json!({"id": "far", "type": "push", "url": "rtmp://127.0.0.1:9/live/secret-key"});
    let (status, made) = api.ask(Method::POST, at, push.clone()).await;
    assert_eq!((status, &made["id"]), (201, &json!("far")), "{made}");
    assert!(!made.to_string().contains("secret-key"), "{made}");
    api.refused(Method::POST, at, push, Code::OutputExists).await;
    let (status, stopped) = api.ask(Method::POST, &format!("{at}/far/stop"), Value::Null).await;
    assert_eq!((status, &stopped["enabled"]), (200, &json!(false)), "{stopped}");
    api.refused(Method::POST, &format!("{at}/near/stop"), Value::Null, Code::UnknownOutput).await;
    let far = format!("{at}/far");
    let wrong = json!({"enabled": true, "url": "http://127.0.0.1/live/other-key"});
    let (status, said) = api.ask(Method::PATCH, &far, wrong).await;
    assert!(
        status == 422 && said["message"].to_string().contains("`url`: it has to begin with"),
        "{said}"
    );
    api.refused(Method::PATCH, &far, json!([]), Code::Invalid).await;
    api.refused(Method::PATCH, &format!("{at}/near"), json!({}), Code::UnknownOutput).await;
    let elsewhere = json!({"url": "rtmp://127.0.0.1:10/live/other-key"});
    let (status, changed) = api.ask(Method::PATCH, &far, elsewhere).await;
    assert_eq!((status, &changed["target"]), (200, &json!("rtmp://127.0.0.1:10")), "{changed}");
    assert_eq!(changed["enabled"], false, "what is left out stays, and nothing wrong was taken");
    assert!(!changed.to_string().contains("other-key"), "{changed}");
    let (_, before) = api.get("/api/v1/streams/studio/access").await;
    api.stream_service.supervisor().shutdown().await;

    let api = Fixture::on(api.folder).await;
    api.stream_service.restore().await.expect("reads");
    let (_, list) = api.get(at).await;
    assert_eq!(list["outputs"][0]["id"], "far", "{list}");
    assert_eq!(list["outputs"][0]["enabled"], false);
    assert_eq!(list["outputs"][0]["target"], "rtmp://127.0.0.1:10", "{list}");
    let (_, after) = api.get("/api/v1/streams/studio/access").await;
    assert_eq!(before["access"], after["access"], "tokens stay");
    let (status, _) = api.ask(Method::DELETE, &format!("{at}/far"), Value::Null).await;
    assert_eq!(status, 204);
    let (_, rotated) =
        api.ask(Method::POST, "/api/v1/streams/studio/access/rotate", Value::Null).await;
    assert_ne!(rotated["access"]["publish_token"], after["access"]["publish_token"]);
    assert!(rotated["access"]["publish_token"].as_str().is_some_and(|t| t.len() >= 32));
}

#[tokio::test]
async fn a_stored_stream_that_cannot_start_is_told_and_can_be_deleted() {
    let api = Fixture::new().await;
    let store = Store::open(&Default::default(), api.folder.path()).await.expect("opens");
    let name: crate::media::StreamName = "orphan".parse().expect("a name");
    let spec = StreamSpec { preset: "no-longer-there".into(), ..StreamSpec::new(name) };
    store.streams.insert(&spec).await.expect("stored");
    assert_eq!(api.get("/readyz").await.1, "ready\n");
    api.stream_service.restore().await.expect("reads");
    let (status, said) = api.get("/readyz").await;
    assert_eq!(
        (status, said),
        (200, json!("ready\nstored streams that could not be started: 1\n"))
    );
    let (_, system) = api.get("/api/v1/system").await;
    let reason = system["not_restored"]["orphan"].as_str().unwrap_or_default();
    assert!(reason.contains("no-longer-there"), "{system}");
    let (_, health) = api.get("/api/v1/health").await;
    let faults = health["faults"].as_array().cloned().unwrap_or_default();
    assert!(
        health["state"] == "yellow"
            && faults.iter().any(|f| f["what"] == "stream orphan" && f["reason"] == reason),
        "{health}"
    );
    let (status, _) = api.ask(Method::DELETE, "/api/v1/streams/orphan", Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(api.get("/readyz").await.1, "ready\n");
    api.stream_service.restore().await.expect("reads");
    assert!(api.stream_service.lost().is_empty(), "it is gone from the database");
}

#[tokio::test]
async fn an_engine_that_died_turns_the_health_yellow_until_it_works() {
    let api = Fixture::new().await;
    let pause = std::time::Duration::from_secs(60);
    let pauses = crate::media::Backoff::new(pause, pause, std::time::Duration::MAX);
    let mut recovery = crate::speech::recovery::Recovery::new("moonshine", "of-api", pauses);
    recovery.failed(std::time::Instant::now(), "the engine moonshine died (signal: 9)".into());
    let (_, health) = api.get("/api/v1/health").await;
    let of_engine = |health: &Value| {
        let faults = health["faults"].as_array().cloned().unwrap_or_default();
        faults.into_iter().find(|fault| fault["what"] == "engine moonshine (of-api)")
    };
    let fault = of_engine(&health).expect("it is told");
    assert_eq!(
        (&health["state"], &fault["reason"]),
        (&json!("yellow"), &json!("the engine moonshine died (signal: 9)"))
    );
    assert!(fault["retry_in_ms"].as_u64().is_some_and(|ms| ms > 0 && ms <= 60_000), "{fault}");
    let (_, metrics) = api.get("/metrics").await;
    let line = "auralink_engine_down{engine=\"moonshine\",model=\"of-api\"} 1";
    assert!(metrics.as_str().is_some_and(|text| text.contains(line)), "{metrics}");
    recovery.started();
    let (_, health) = api.get("/api/v1/health").await;
    assert!(of_engine(&health).is_none(), "{health}");
}

#[tokio::test]
async fn the_system_says_whether_voice_goes_by_aic_and_what_turns_it_on() {
    let api = Fixture::new().await;
    let (_, system) = api.get("/api/v1/system").await;
    let codec = &system["voice_codec"];
    let text = |field: &str| codec[field].as_str().unwrap_or_default();
    // The weights are part of the source.
    assert!(text("weights").ends_with("aic-a2.safetensors"), "{codec}");
    assert_eq!(text("model").len(), 8, "{codec}");
    assert_eq!((&codec["available"], &codec["fix"]), (&json!(true), &Value::Null), "{codec}");
    assert!(text("text").contains(text("model")), "{codec}");
}

#[tokio::test]
async fn streams_of_the_file_are_the_file_s() {
    let api = Fixture::new().await;
    let name: crate::media::StreamName = "filed".parse().expect("a name");
    let spec = StreamSpec {
        source: SourceSpec::Test(Default::default()),
        ..StreamSpec::new(name.clone())
    };
    api.stream_service.declare(spec.clone(), Owner::Config).await.expect("starts");
    let (_, before) = api.get("/api/v1/streams/filed/access").await;
    let path = "/api/v1/streams/filed";
    api.refused(Method::DELETE, path, Value::Null, Code::ConfigOwned).await;
    api.refused(Method::PATCH, path, json!({"linger_s": 1}), Code::ConfigOwned).await;
    let push = json!({"id": "far", "type": "push", "url": "srt://127.0.0.1:9"});
    api.refused(Method::POST, &format!("{path}/outputs"), push, Code::ConfigOwned).await;
    api.stream_service.supervisor().shutdown().await;

    let again = Fixture::on(api.folder).await;
    again.stream_service.restore().await.expect("reads");
    assert_eq!(again.stream_service.owner(&name), None, "the database does not keep it");
    again.stream_service.declare(spec, Owner::Config).await.expect("starts");
    let (_, after) = again.get("/api/v1/streams/filed/access").await;
    assert_eq!(before["access"], after["access"], "but its tokens");
}

#[tokio::test]
async fn a_reload_touches_only_what_changed() {
    use crate::control::stream_service::Changes;
    let api = Fixture::new().await;
    // There is no publisher: `since` changes only with a restart.
    let spec = |name: &str| StreamSpec::new(name.parse().expect("a name"));
    for name in ["same", "other", "gone"] {
        api.stream_service.declare(spec(name), Owner::Config).await.expect("starts");
    }
    let since = |list: &Value, name: &str| {
        let all = list["streams"].as_array().cloned().unwrap_or_default();
        let found = all.into_iter().find(|s| s["name"] == name);
        found.map(|s| s["since"].clone())
    };
    let (_, before) = api.get("/api/v1/streams").await;
    let changes = Changes {
        create: vec![spec("new")],
        update: vec![StreamSpec { linger_s: 3, ..spec("other") }],
        remove: vec!["gone".parse().expect("a name")],
    };
    assert_eq!(api.stream_service.apply(changes).await, Vec::<String>::new());
    let (_, after) = api.get("/api/v1/streams").await;
    assert_eq!(since(&before, "same"), since(&after, "same"));
    assert!(since(&after, "new").is_some() && since(&after, "gone").is_none(), "{after}");
    let (_, other) = api.get("/api/v1/streams/other/spec").await;
    assert_eq!(other["linger_s"], 3);
}

#[tokio::test]
async fn every_refusal_has_the_same_form() {
    let api = Fixture::new().await;
    let streams = "/api/v1/streams";
    let (post, get) = (Method::POST, Method::GET);
    api.refused(get.clone(), "/nowhere", Value::Null, Code::NotFound).await;
    api.refused(get.clone(), "/api/v1/nowhere", Value::Null, Code::NotFound).await;
    api.refused(Method::DELETE, streams, Value::Null, Code::MethodNotAllowed).await;
    api.refused(post.clone(), streams, json!({"name": "../x"}), Code::Invalid).await;
    api.refused(post.clone(), streams, json!({"nmae": "x"}), Code::Invalid).await;
    let preset = json!({"name": "x", "preset": "nosuch"});
    api.refused(post.clone(), streams, preset, Code::Invalid).await;
    api.refused(post.clone(), streams, json!("x".repeat(70_000)), Code::BodyTooLarge).await;
    api.refused(post, streams, Value::Null, Code::UnsupportedMediaType).await;
    api.refused(get.clone(), "/api/v1/streams/a%2Fb", Value::Null, Code::NotFound).await;
    api.refused(get, "/api/v1/presets/nosuch", Value::Null, Code::UnknownPreset).await;
    let cut = Request::post(streams)
        .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{\"name\": "))
        .expect("a request");
    let (_, _, value) = api.send(cut).await;
    assert_eq!(value["code"], "bad_request");
}

#[tokio::test]
async fn nothing_behind_the_guard_answers_without_a_token() {
    let api = Fixture::new().await;
    let served = serde_json::to_value(document()).expect("JSON");
    let paths = served["paths"].as_object().expect("paths");
    let open = ["/api/v1/session", "/healthz", "/readyz"];
    let mut tried = 0;
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            if open.contains(&path.as_str())
                || !["GET", "PUT", "POST", "PATCH", "DELETE"].contains(&method.as_str())
            {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            for wrong in [None, Some("Bearer wrong"), Some("Basic YTpi"), Some("Bearer ")] {
                let mut request = Request::builder().method(method.clone()).uri(&path);
                if let Some(wrong) = wrong {
                    request = request.header(header::AUTHORIZATION, wrong);
                }
                let (status, headers, value) =
                    api.send(request.body(Body::empty()).expect("a request")).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {value}");
                assert!(headers.contains_key(header::WWW_AUTHENTICATE));
                tried += 1;
            }
        }
    }
    assert!(tried >= 100, "only {tried} requests were tried");
}

#[tokio::test]
async fn the_page_signs_in_with_a_cookie_that_only_it_can_use() {
    let api = Fixture::new().await;
    let sign_in = Request::post("/api/v1/session")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({ "token": ADMIN }).to_string()))
        .expect("a request");
    let (status, headers, _) = api.send(sign_in).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let cookie = headers[header::SET_COOKIE].to_str().expect("text").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let kick = |origin: &str| {
        Request::post("/api/v1/streams/x/kick")
            .header(header::COOKIE, &cookie)
            .header(header::HOST, "box:8080")
            .header(header::ORIGIN, origin)
            .body(Body::empty())
            .expect("a request")
    };
    assert_eq!(api.send(kick("http://box:8080")).await.2["code"], "unknown_stream");
    assert_eq!(api.send(kick("http://evil.example")).await.2["code"], "forbidden");
    let socket = |origin: &str| {
        Request::get("/api/v1/streams/x/captions/ws")
            .header(header::COOKIE, &cookie)
            .header(header::HOST, "box:8080")
            .header(header::ORIGIN, origin)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .body(Body::empty())
            .expect("a request")
    };
    assert_eq!(api.send(socket("http://evil.box:8080")).await.2["code"], "forbidden");
    assert_eq!(api.send(socket("http://box:8080")).await.2["code"], "bad_request");
    let rebound = Request::get("/api/v1/streams")
        .header(header::COOKIE, &cookie)
        .header(header::HOST, "evil.example:8080")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(api.send(rebound).await.2["code"], "unknown_host");
    let out = Request::delete("/api/v1/session").header(header::COOKIE, &cookie);
    api.send(out.body(Body::empty()).expect("a request")).await;
    assert_eq!(api.send(kick("http://box:8080")).await.2["code"], "unauthorized");
}

#[tokio::test]
async fn requests_for_unknown_streams_leave_no_series_behind() {
    let api = Fixture::new().await;
    let lines = || async {
        let (_, text) = api.get("/metrics").await;
        text.as_str().expect("text").lines().count()
    };
    let warm = ["/api/v1/streams/x", "/hls/x/index.m3u8"];
    for path in warm {
        api.get(path).await;
    }
    lines().await;
    let before = lines().await;
    for n in 0..5_000 {
        let (status, _) = api.get(&format!("/api/v1/streams/nobody-{n}")).await;
        assert_eq!(status, 404);
        let (status, _) = api.get(&format!("/hls/nobody-{n}/index.m3u8")).await;
        assert_eq!(status, 404);
    }
    assert_eq!(lines().await, before);
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    use futures::StreamExt;
    let api = Fixture::new().await;
    let request = Request::get("/api/v1/events")
        .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
        .body(Body::empty())
        .expect("a request");
    let response = api.router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    api.ask(Method::POST, "/api/v1/streams", json!({"name": "studio"})).await;
    let first = tokio::time::timeout(std::time::Duration::from_secs(10), body.next()).await;
    let first = first.expect("in time").expect("not ended").expect("no error");
    let text = String::from_utf8_lossy(&first);
    assert!(text.contains("event: stream_created") && text.contains("studio"), "{text}");
}
