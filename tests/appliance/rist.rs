//! RIST sources: ffmpeg sends to the appliance, and is called by it.

use std::net::UdpSocket;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::output;
use crate::support::media::{Coding, media};
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, needs, s};

/// Whether librist and an ffmpeg that speaks RIST are installed.
async fn has_rist() -> bool {
    let (_, protocols) = output("ffmpeg", &["-hide_banner", "-protocols"], s(20)).await;
    let there = protocols.contains("rist");
    if !there {
        needs::skip("an ffmpeg with librist");
    }
    there
}

/// A free port whose successor is free too: the simple profile uses both.
fn even_port() -> u16 {
    loop {
        let port = crate::support::appliance::free_udp() & !1;
        let free = |port| UdpSocket::bind(("0.0.0.0", port)).is_ok();
        if free(port) && free(port + 1) {
            return port;
        }
    }
}

fn source(snapshot: &Value) -> &Value {
    &snapshot["sources"][0]
}

/// Waits until video and audio of a stream flow, and returns its snapshot.
async fn flows(stream: &crate::support::api::Stream) -> Value {
    stream.wait_state("live", s(60)).await;
    eventually("video and audio flow", s(40), || async {
        let snapshot = stream.snapshot().await;
        let feeds = snapshot["feeds"].as_array().cloned().unwrap_or_default();
        let count = |name: &str| {
            let feed = feeds.iter().find(|feed| feed["name"] == name);
            feed.and_then(|feed| feed["buffers"].as_u64()).unwrap_or(0)
        };
        match count("video") > 50 && count("audio") > 50 {
            true => Ok(snapshot),
            false => Err(snapshot.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_comes_goes_and_comes_again() {
    if !has_rist().await {
        return;
    }
    let appliance = Appliance::start().await;
    for (profile, number, options) in [
        ("main", 1, ""),
        ("simple", 0, ""),
        ("main", 1, "&secret=a-passphrase-of-ours&aes-type=256"),
    ] {
        let port = even_port();
        let mut from =
            json!({ "type": "rist", "url": format!("rist://@0.0.0.0:{port}"), "profile": profile });
        if !options.is_empty() {
            from["passphrase"] = json!("a-passphrase-of-ours");
        }
        let name = format!("rist-{profile}-{}", options.len());
        let spec = json!({ "name": name, "source": from, "linger_s": 0 });
        let stream = appliance.api.create(spec).await;
        let file = media(Coding::H264BFrames);
        let send = format!(
            "-re -stream_loop -1 -i {} -c copy -f mpegts -rist_profile {number} \
             rist://127.0.0.1:{port}?buffer=300{options}",
            file.display()
        );
        for _ in 0..2 {
            let sender = Ffmpeg::with(&send);
            let snapshot = flows(&stream).await;
            assert_eq!(source(&snapshot)["protocol"], "rist", "{snapshot}");
            assert!(!snapshot.to_string().contains("a-passphrase-of-ours"), "a secret: {snapshot}");
            drop(sender);
            stream.wait_state("idle", s(60)).await;
        }
        appliance.api.must_delete(&stream.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said() {
    if !has_rist().await {
        return;
    }
    let appliance = Appliance::start().await;
    let taken = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port();
    let spec = json!({
        "name": "taken", "source": { "type": "rist", "url": format!("rist://@0.0.0.0:{port}") },
    });
    let stream = appliance.api.create(spec).await;
    eventually("the port is named as taken", s(30), || async {
        let snapshot = stream.snapshot().await;
        let told = snapshot["last_error"].as_str().unwrap_or_default();
        if told.contains("it is taken") { Ok(()) } else { Err(snapshot.to_string()) }
    })
    .await;
    let refused = |source: Value| {
        let api = &appliance.api;
        async move {
            let spec = json!({ "name": "no", "source": source });
            let answer = api.request(Method::POST, "/api/v1/streams", Some(&spec));
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.status, 422, "{}", answer.text);
            answer.text
        }
    };
    let told = refused(json!({ "type": "rist", "url": "udp://@0.0.0.0:5000" })).await;
    assert!(told.contains("source.url") && told.contains("rist://"), "{told}");
    let simple = json!({
        "type": "rist", "url": "rist://@0.0.0.0:5000", "profile": "simple",
        "passphrase": "0123456789ab",
    });
    let told = refused(simple).await;
    assert!(told.contains("source.passphrase") && told.contains("no encryption"), "{told}");
}
