//! Viewers that share the packets of a stream (`webrtc.fan_out`).

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::{eventually, s};

const CONFIG: &str = "[webrtc]\nfan_out = true\n";

fn frames(event: &Value) -> u64 {
    event["frames"].as_u64().or(event["decoded"].as_u64()).unwrap_or_default()
}

/// A browser and two other players watch, hear and come and go; one restarts ICE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_share_packets_and_one_thread() {
    let appliance = Appliance::start_with(CONFIG).await;
    let spec = json!({ "name": "shared", "source": { "type": "test" }, "linger_s": 0 });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let aiortc = || Client::python("whep.py", &[&url, "--token", &token]);
    let flows = |e: &Value| frames(e) > 30 && e["energy"].as_f64() > Some(0.0);
    let mut first = aiortc();
    first.wait_until("progress", s(60), flows).await;
    let before = appliance.usage().threads;
    let (mut second, mut browser) =
        (aiortc(), Client::browser("whep", &[&url, "--token", &token, "--patience", "60"]));
    let begun = browser.wait_for("playing", s(60)).await;
    eprintln!("  Chromium's first picture after {} ms", begun["first_frame_ms"]);
    second.wait_until("progress", s(60), flows).await;
    browser.wait_until("progress", s(60), flows).await;
    let more = appliance.usage().threads.saturating_sub(before);
    assert!(more < 9, "two more viewers took {more} threads, as many as a pipeline each");

    browser.tell("restart").await;
    let moved = browser.wait_for("restarted", s(30)).await;
    assert_ne!(moved["before"]["local_port"], moved["after"]["local_port"], "{moved}");
    let now = frames(&browser.wait_for("progress", s(10)).await);
    browser.wait_until("progress", s(30), |e| frames(e) > now + 60).await;

    // One that leaves does not disturb the others.
    second.finish().await;
    let now = frames(&first.wait_for("progress", s(10)).await);
    first.wait_until("progress", s(30), |e| frames(e) > now + 60).await;
    tokio::join!(first.finish(), browser.finish());
    // Clients are killed after their report: a viewer that says nothing more is gone after 30 s.
    eventually("nobody watches", s(60), || async {
        let viewers = stream.snapshot().await["viewers"]["whep"].as_u64();
        if viewers.unwrap_or(0) == 0 { Ok(()) } else { Err(format!("{viewers:?}")) }
    })
    .await;
}
