//! Captions through the router, on a running stream.

use std::time::Duration;

use axum::http::Method;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::super::Code;
use super::super::tests::{ADMIN, Fixture};

const CAPTIONS: &str = "/api/v1/streams/studio/captions";

/// A running stream with captions in English and Spanish, on a port of its own.
async fn captioned() -> (Fixture, std::net::SocketAddr, String) {
    let api = Fixture::new().await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let (_, made) = api.ask(Method::POST, "/api/v1/streams", spec).await;
    let token = made["access"]["play_token"].as_str().expect("a token").to_owned();
    let change = json!({ "enabled": true, "language": "en", "translate": ["es"] });
    let (status, view) = api.ask(Method::PATCH, CAPTIONS, change).await;
    assert_eq!((status, &view["settings"]["translate"]), (200, &json!(["es"])), "{view}");
    let there = async {
        while api.get(CAPTIONS).await.1["languages"].as_array().is_none_or(|l| l.len() < 2) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there).await.expect("the stream is on air");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    let router = api.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (api, address, token)
}

async fn say(api: &Fixture, language: &str, text: &str) -> Value {
    let cue = json!({ "language": language, "text": text });
    let (status, said) = api.ask(Method::POST, &format!("{CAPTIONS}/cues"), cue).await;
    assert_eq!(status, 201, "{said}");
    said
}

#[tokio::test]
async fn settings_change_while_the_stream_runs_and_nonsense_is_refused() {
    let api = Fixture::new().await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    api.ask(Method::POST, "/api/v1/streams", spec).await;
    let (status, view) = api.get(CAPTIONS).await;
    assert_eq!((status, &view["settings"]["enabled"]), (200, &json!(false)), "{view}");
    assert_eq!((&view["languages"], &view["feeds"]), (&json!([]), &json!([])));
    for (patch, field) in [
        (json!({ "dub": ["fr"] }), "dub[0]"),
        (json!({ "language": "klingon!" }), "klingon!"),
        (json!({ "no_such": 1 }), "no_such"),
        (json!([1]), "object"),
    ] {
        let (status, said) = api.ask(Method::PATCH, CAPTIONS, patch).await;
        assert_eq!((status, &said["code"]), (422, &json!("invalid")), "{said}");
        assert!(said["message"].as_str().is_some_and(|m| m.contains(field)), "{said}");
    }
    let on = json!({ "enabled": true, "language": "en", "translate": ["es", "fr"] });
    api.ask(Method::PATCH, CAPTIONS, on).await;
    let (_, view) = api.ask(Method::PATCH, CAPTIONS, json!({ "translate": null })).await;
    assert_eq!(
        (&view["settings"]["language"], &view["settings"]["translate"]),
        (&json!("en"), &json!([]))
    );
    let (_, stored) = api.get("/api/v1/streams/studio/spec").await;
    assert_eq!(stored["captions"]["language"], "en", "it is part of the stream: {stored}");
    let cues = format!("{CAPTIONS}/cues");
    let cue = |language: &str, text: &str| json!({ "language": language, "text": text });
    api.refused(Method::POST, &cues, cue("de", "Hallo"), Code::NoCaptions).await;
    api.refused(Method::POST, &cues, cue("en", " "), Code::Invalid).await;
    let wrong = format!("{CAPTIONS}/events?language=no%20such");
    api.refused(Method::GET, &wrong, Value::Null, Code::Invalid).await;
    let unknown = "/api/v1/streams/other/captions";
    api.refused(Method::GET, unknown, Value::Null, Code::UnknownStream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_is_followed_as_events() {
    let (api, address, token) = captioned().await;
    let client = reqwest::Client::new();
    let admin = client.get(format!("http://{address}{CAPTIONS}/events?language=es&recent=1"));
    let viewer = client.get(format!("http://{address}/captions/studio/events?token={token}"));
    say(&api, "es", "Antes.").await;
    let mut events = [admin.bearer_auth(ADMIN), viewer].map(|request| {
        Box::pin(async move {
            let response = request.send().await.expect("an answer");
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            response.bytes_stream()
        })
    });
    let [admin, viewer] = &mut events;
    let (mut admin, mut viewer) = tokio::join!(admin, viewer);
    let said = say(&api, "es", "Buenas noches.").await;
    assert!(said["id"].as_u64() >= Some(1 << 40), "engines count from 1: {said}");
    assert_eq!(said["engine"], "api");
    say(&api, "en", "Good night.").await;
    say(&api, "es", "Fin.").await;
    let until =
        async |events: &mut (
                        dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin + Send
                    )| {
            let mut text = String::new();
            while !text.contains("Fin.") {
                let part = tokio::time::timeout(Duration::from_secs(10), events.next());
                let part = part.await.expect("in time").expect("more").expect("a part");
                text.push_str(&String::from_utf8_lossy(&part));
            }
            text
        };
    let text = until(&mut admin).await;
    assert!(text.starts_with("event: hello\ndata: {\"type\":\"hello\""), "{text}");
    assert!(text.contains("Antes.") && text.contains("Buenas noches."), "{text}");
    assert!(!text.contains("Good night."), "another language: {text}");
    let text = until(&mut viewer).await;
    assert!(!text.contains("Antes.") && text.contains("Good night."), "all, from now on: {text}");
    let (_, view) = api.get(CAPTIONS).await;
    assert_eq!(
        (&view["feeds"][1]["committed"], &view["feeds"][1]["last"]),
        (&json!(3), &json!("Fin."))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_listens_to_shows_what_is_pushed() {
    let (api, _, _) = captioned().await;
    let (status, view) = api.ask(Method::PATCH, CAPTIONS, json!({ "engines": ["none"] })).await;
    assert_eq!((status, &view["settings"]["engines"]), (200, &json!(["none"])), "{view}");
    let hears_nothing = async {
        loop {
            let (_, stream) = api.get("/api/v1/streams/studio").await;
            let nodes = stream["nodes"].as_array().cloned().unwrap_or_default();
            let node = nodes.iter().find(|n| n["name"] == "transcribe").cloned();
            let node = node.unwrap_or_default();
            if node["inputs"] == json!([]) && node["facts"]["engine"] == "none" {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let node = tokio::time::timeout(Duration::from_secs(20), hears_nothing).await.expect("in time");
    assert_eq!(node["state"], "running", "{node}");
    let said = say(&api, "en", "Typed by hand.").await;
    assert_eq!((&said["language"], &said["text"]), (&json!("en"), &json!("Typed by hand.")));
    let (_, view) = api.get(CAPTIONS).await;
    assert_eq!(view["feeds"][0]["last"], "Typed by hand.", "{view}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_in_three_languages_are_translated_each_from_its_own() {
    let api = Fixture::new().await;
    let captions = json!({ "language": "auto", "spoken": ["en", "de", "es"], "engines": ["none"],
        "translate": ["en", "es"] });
    let spec = json!({ "name": "studio", "source": { "type": "test" }, "captions": captions });
    let (status, made) = api.ask(Method::POST, "/api/v1/streams", spec).await;
    assert_eq!(status, 201, "{made}");
    let until_last = async |feed: usize, expect: &str| {
        let shown = async {
            loop {
                let (_, view) = api.get(CAPTIONS).await;
                let last = view["feeds"][feed]["last"].as_str().unwrap_or_default();
                if last.contains(expect) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), shown).await.expect(expect);
    };
    let there = async {
        while api.get(CAPTIONS).await.1["languages"].as_array().is_none_or(|l| l.len() < 3) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there).await.expect("the stream is on air");
    let say = async |text: &str| -> Value {
        let (_, cue) =
            api.ask(Method::POST, &format!("{CAPTIONS}/cues"), json!({ "text": text })).await;
        cue["language"].clone()
    };
    assert_eq!(say("No.").await, Value::Null, "one word tells nothing yet");
    // Each is followed by a short cue, which stays in the language that is spoken.
    for (tag, text) in [
        ("en", "The government has decided to wait."),
        ("de", "Die Regierung hat beschlossen zu warten."),
        ("es", "El gobierno ha decidido esperar."),
    ] {
        assert_eq!(say(text).await, tag, "{text}");
        // What is in a target language already passes as it is.
        if let Some(feed) = ["en", "es"].iter().position(|to| *to == tag) {
            until_last(feed + 1, text).await;
        }
        assert_eq!(say("No.").await, tag, "after {text}");
    }
    let (_, speech) = api.get("/api/v1/speech").await;
    let has = |from: &str, to: &str| {
        let pairs = speech["translate"].as_array().cloned().unwrap_or_default();
        pairs.iter().any(|pair| pair["from"] == from && pair["to"] == to)
    };
    if !has("en", "es") || !has("es", "en") {
        return crate::needs::skip("apertium-eng-spa");
    }
    say("Buenas noches, la ventana es grande.").await;
    until_last(1, "window").await;
    say("Good evening, the window is large.").await;
    until_last(2, "ventana").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_follows_over_a_websocket_with_the_play_token_only() {
    let (api, address, token) = captioned().await;
    for wrong in ["", "?token=wrong"] {
        let url = format!("http://{address}/captions/studio/events{wrong}");
        assert_eq!(reqwest::get(&url).await.expect("an answer").status(), 401, "{url}");
        let url = format!("ws://{address}/captions/studio/ws{wrong}");
        assert!(tokio_tungstenite::connect_async(&url).await.is_err(), "{url}");
    }
    let url = format!("ws://{address}/captions/studio/ws?token={token}&language=es");
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("let in");
    let next = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| -> Value {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(10), socket.next());
            let frame = frame.await.expect("in time").expect("open").expect("a frame");
            if let Frame::Text(text) = frame {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    };
    assert_eq!(next(&mut socket).await["type"], "hello");
    say(&api, "en", "Good night.").await;
    say(&api, "es", "Buenas noches.").await;
    assert_eq!(next(&mut socket).await["text"], "Buenas noches.");
    socket.send(Frame::text("nonsense")).await.expect("open");
    assert_eq!(next(&mut socket).await["type"], "error");
    let english = json!({ "type": "select", "languages": ["en"] });
    socket.send(Frame::text(english.to_string())).await.expect("open");
    // The error follows the selection, so the selection is in force when it arrives.
    socket.send(Frame::text("nonsense")).await.expect("open");
    assert_eq!(next(&mut socket).await["type"], "error");
    say(&api, "es", "Otra vez.").await;
    say(&api, "en", "Again.").await;
    assert_eq!(next(&mut socket).await["text"], "Again.");
    let (_, _) = api.ask(Method::DELETE, "/api/v1/streams/studio", Value::Null).await;
    let end = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("in time");
    assert!(!matches!(end, Some(Ok(Frame::Text(_)))), "it ends with the stream: {end:?}");
}
