//! A meeting as Jigasi runs it, over a real WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::super::audio::tests::speech;
use super::super::tests::{ADMIN, Fixture, JITSI};
use crate::control::auth::signed::testing::token;
use crate::flow::Node;

async fn served() -> (Fixture, String) {
    let api = Fixture::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    let router = api.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (api, format!("ws://{address}/streaming-whisper/ws/meeting-1"))
}

#[tokio::test]
async fn a_meeting_needs_the_token() {
    let (_api, url) = served().await;
    for wrong in ["", "?auth_token=", "?auth_token=wrong"] {
        let refused = tokio_tungstenite::connect_async(format!("{url}{wrong}")).await;
        assert!(refused.is_err_and(|e| e.to_string().contains("401")), "{wrong}");
    }
    let token = percent_encoding::utf8_percent_encode(ADMIN, percent_encoding::NON_ALPHANUMERIC);
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{url}?auth_token={token}"))
        .await
        .expect("let in");
    // Invalid messages are ignored, and the single byte with which Jigasi ends a meeting ends it.
    socket.send(Frame::binary(vec![7_u8; 20])).await.expect("open");
    socket.send(Frame::binary(vec![0_u8])).await.expect("open");
    let end = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    assert!(!matches!(end, Ok(Some(Ok(Frame::Text(_))))), "{end:?}");
    assert!(end.is_ok(), "it ends");
}

#[tokio::test]
async fn a_token_that_jigasi_signs_opens_a_meeting() {
    let (_api, url) = served().await;
    let (pair, _) = &*JITSI;
    let at =
        |claims: String| format!("{url}?auth_token={}", token(pair, r#"{"alg":"RS256"}"#, &claims));
    let now = chrono::Utc::now().timestamp();
    let good = at(format!(r#"{{"iss":"jigasi","aud":"jitsi","exp":{}}}"#, now + 300));
    tokio_tungstenite::connect_async(good).await.expect("let in");
    let late = at(format!(r#"{{"iss":"jigasi","aud":"jitsi","exp":{}}}"#, now - 300));
    let other = at(format!(r#"{{"iss":"jigasi","aud":"else","exp":{}}}"#, now + 300));
    for wrong in [late, other] {
        let refused = tokio_tungstenite::connect_async(wrong).await;
        assert!(refused.is_err_and(|e| e.to_string().contains("401")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_speakers_of_a_meeting_are_written_down_apart() {
    let (api, url) = served().await;
    let Some((path, _)) = speech(&api).await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let raw = folder.path().join("speech.raw");
    let pipeline = format!(
        "filesrc location={} ! flacparse ! flacdec ! audioconvert ! audioresample \
         ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! filesink location={}",
        path.display(),
        raw.display()
    );
    let decode = Node::parse("decode", &pipeline).expect("installed");
    decode.start().await.expect("it starts");
    decode.next_event().await.expect("it comes to its end");
    decode.stop().await.expect("it stops");
    let pcm = std::fs::read(raw).expect("written");

    let token = percent_encoding::utf8_percent_encode(ADMIN, percent_encoding::NON_ALPHANUMERIC);
    let (socket, _) = tokio_tungstenite::connect_async(format!("{url}?auth_token={token}"))
        .await
        .expect("let in");
    let (mut send, mut receive) = socket.split();
    let talk = async {
        // One second at a time, as Jigasi sends it; the second speaker sends only silence.
        let silence = vec![0_u8; 32_000];
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        for second in pcm.chunks(32_000) {
            clock.tick().await;
            for (speaker, sound) in [("speaker-1|en-US", second), ("speaker-2|en", &silence[..])] {
                let mut bytes = speaker.as_bytes().to_vec();
                bytes.resize(60, 0);
                bytes.extend(sound);
                send.send(Frame::binary(bytes)).await.expect("open");
            }
        }
        std::future::pending::<()>().await;
    };
    let listen = async {
        let mut finals = Vec::new();
        let mut words = 0;
        while words < 8 {
            let Some(Ok(Frame::Text(text))) = receive.next().await else { continue };
            let said: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(said["participant_id"], "speaker-1", "silence says nothing: {said}");
            if said["type"] == "final" {
                words += said["text"].as_str().expect("text").split(' ').count();
                finals.push(said);
            }
        }
        finals
    };
    let finals = tokio::select! {
        () = talk => unreachable!("it waits at its end"),
        heard = tokio::time::timeout(Duration::from_secs(60), listen) => heard.expect("in time"),
    };
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    for said in &finals {
        let age = u128::from(said["ts"].as_u64().expect("a time")).abs_diff(now.as_millis());
        assert!(age < 90_000, "wall-clock times: {said}");
        assert_eq!(said["id"].as_str().map(str::len), Some(36), "{said}");
    }
}
