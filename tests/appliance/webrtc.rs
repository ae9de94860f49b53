//! WebRTC beyond publishing and playing: every codec, and networks that change.

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::publish::Ffmpeg;
use crate::support::s;

fn frames(event: &Value) -> u64 {
    event["decoded"].as_u64().unwrap_or_default()
}

/// Chromium publishes in a codec and Chromium plays it, without re-encoding.
async fn carry(appliance: &Appliance, codec: &str) {
    let stream = appliance.api.create(json!({ "name": codec })).await;
    let (publish, play) = (stream.publish_token(), stream.play_token());
    let (whip, whep) = (stream.whip(), stream.whep());
    let mut camera = Client::browser("whip", &[&whip, "--token", &publish, "--codec", codec]);
    camera.wait_for("publishing", s(40)).await;
    stream.wait_state("live", s(20)).await;
    let mut viewer = Client::browser("whep", &[&whep, "--token", &play, "--codec", codec]);
    let first = viewer.wait_for("playing", s(40)).await;
    let flows = |e: &Value| frames(e) > 45 && e["energy"].as_f64() > Some(0.0);
    let seen = viewer.wait_until("progress", s(30), flows).await;
    assert_eq!(seen["codec_video"].as_str().map(str::to_lowercase).as_deref(), Some(codec));
    assert_eq!(seen["codec_audio"], "opus", "{seen}");
    let snapshot = stream.snapshot().await;
    let track = snapshot["feeds"].to_string().to_lowercase();
    assert!(track.contains(codec), "published as {codec}: {}", snapshot["feeds"]);
    eprintln!("  {codec}: Chromium's first picture after {} ms", first["first_frame_ms"]);
    tokio::join!(viewer.finish(), camera.finish());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vp9_and_av1_go_from_browser_to_browser() {
    let appliance = Appliance::start().await;
    carry(&appliance, "vp9").await;
    carry(&appliance, "av1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ice_restarts_move_a_publisher_and_a_viewer_to_new_ports() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "on-the-move" })).await;
    let (publish, play) = (stream.publish_token(), stream.play_token());
    let mut camera = Client::browser("whip", &[&stream.whip(), "--token", &publish]);
    camera.wait_for("publishing", s(40)).await;
    stream.wait_state("live", s(20)).await;
    let mut viewer = Client::browser("whep", &[&stream.whep(), "--token", &play]);
    viewer.wait_until("progress", s(40), |e| frames(e) > 30).await;
    let publisher = |snapshot: &Value| snapshot["sources"][0]["since"].clone();
    let since = publisher(&stream.snapshot().await);
    assert!(since.is_string(), "it is published");

    for (who, client) in [("viewer", &mut viewer), ("publisher", &mut camera)] {
        client.tell("restart").await;
        let moved = client.wait_for("restarted", s(30)).await;
        let (before, after) = (&moved["before"], &moved["after"]);
        assert_ne!(before["local_port"], after["local_port"], "{who}: {moved}");
        assert!(moved["etag"].is_string(), "{who}: {moved}");
        eprintln!("  {who}: on its new port after {} ms", moved["took_ms"]);
    }
    let before = frames(&viewer.wait_for("progress", s(10)).await);
    let after = viewer.wait_until("progress", s(20), |e| frames(e) > before + 60).await;
    assert_eq!(after["state"], "connected", "{after}");
    let snapshot = stream.snapshot().await;
    assert_eq!(snapshot["state"], "live", "{snapshot}");
    assert_eq!(publisher(&snapshot), since, "still the same publisher: {snapshot}");
    tokio::join!(viewer.finish(), camera.finish());
}

/// The publisher flashes and beeps at full seconds of the wall clock, and the appliance's sender
/// reports state when they were captured. A time in the future would make players hold the video
/// for the audio. Its first packets are late, as on a slow path: the rest comes in a burst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_publisher_sends_is_stamped_with_the_time_at_which_it_comes() {
    let appliance = Appliance::start_alone("").await;
    let stream = appliance.api.create(json!({ "name": "on-time" })).await;
    let args = [&stream.whip(), "--token", &stream.publish_token(), "--behind", "1"];
    let mut camera = Client::python("whip.py", &args);
    camera.wait_for("publishing", s(40)).await;
    stream.wait_state("live", s(20)).await;
    let (whep, token) = (stream.whep(), stream.play_token());
    let args = [&whep, "--token", &token, "--seconds", "8"];
    let report = Client::python("whep.py", &args).report(s(60)).await;
    let took = report["flash_latency_ms"]["p50"].as_f64().expect("flashes");
    assert!(took > -100.0, "video is stamped {} ms before it is made", -took);
    let beeps = report["beep_sender_times"].as_array().expect("beeps");
    let to_second = |time: f64| time - time.round();
    let mut late: Vec<f64> = beeps.iter().filter_map(|t| Some(to_second(t.as_f64()?))).collect();
    late.sort_by(f64::total_cmp);
    let median = late[late.len() / 2];
    assert!(median.abs() < 0.15, "audio is stamped {median} s after it is made: {late:?}");
    camera.finish().await;
}

/// aiortc rejects an answer with a section that has no transport.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_asks_for_pictures_hears_a_stream_that_has_none() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "radio" })).await;
    let url = appliance.srt(&stream);
    let sound = "-re -f lavfi -i sine=f=1000:r=48000 -vn -c:a aac -f mpegts";
    let _publisher = Ffmpeg::with(&format!("{sound} {url}"));
    stream.wait_state("live", s(20)).await;
    let (whep, token) = (stream.whep(), stream.play_token());
    let mut viewer = Client::python("whep.py", &[&whep, "--token", &token]);
    let heard = |e: &Value| e["state"] == "connected" && e["energy"].as_f64() > Some(0.0);
    viewer.wait_until("progress", s(40), heard).await;
    let report = viewer.finish().await;
    assert_eq!((&report["video"]["frames"], &report["state"]), (&json!(0), &json!("connected")));
}
