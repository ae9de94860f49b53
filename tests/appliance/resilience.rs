//! Publishers that come and go, a backup, and viewers who notice only the slate.

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

fn frames(progress: &Value) -> u64 {
    progress["frames"].as_u64().unwrap_or(0)
}

/// Waits until the viewer has decoded this many frames more than it has now.
async fn goes_on(viewer: &mut Client, more: u64) {
    let now = frames(&viewer.wait_for("progress", s(10)).await);
    viewer.wait_until("progress", s(30), |e| frames(e) >= now + more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_killed_and_back_while_its_viewers_stay() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "studio", "linger_s": 60 })).await;
    let publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;

    let token = stream.play_token();
    let mut aiortc = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    let mut browser = Client::browser("whep", &[&stream.whep(), "--token", &token]);
    aiortc.wait_for("playing", s(40)).await;
    browser.wait_for("playing", s(40)).await;

    publisher.kill().await;
    stream.wait_state("slate", s(20)).await;
    // Viewers still receive video: the slate.
    goes_on(&mut aiortc, 15).await;
    goes_on(&mut browser, 15).await;

    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    goes_on(&mut aiortc, 60).await;
    goes_on(&mut browser, 60).await;

    let viewers = &stream.snapshot().await["viewers"];
    assert_eq!(viewers["whep"], 2, "both are still the same two sessions: {viewers}");
    let report = aiortc.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
    let report = browser.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_rtmp_publisher_that_lost_its_connection_comes_back_at_once() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "studio" })).await;
    let first = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&stream));
    stream.wait_state("live", s(20)).await;
    first.kill().await;
    let _second = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&stream));
    stream
        .wait("the publisher is on air again", s(10), |s| {
            s["state"] == "live" && s["sources"].as_array().is_some_and(|l| l.len() == 1)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_takes_over_and_hands_back() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "studio", "backup": { "type": "test" }, "linger_s": 60 });
    let stream = appliance.api.create(spec).await;
    let publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    viewer.wait_for("playing", s(40)).await;

    publisher.kill().await;
    stream.wait_state("backup", s(20)).await;
    goes_on(&mut viewer, 60).await;

    let _publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    goes_on(&mut viewer, 60).await;
    let report = viewer.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_publisher_is_refused_or_replaces_the_first_as_configured() {
    let appliance = Appliance::start().await;
    let keep = appliance.api.create(json!({ "name": "keep" })).await;
    let swap = appliance.api.create(json!({ "name": "swap", "on_conflict": "replace" })).await;
    let mut firsts = [
        Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&keep)),
        Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&swap)),
    ];
    keep.wait_state("live", s(20)).await;
    swap.wait_state("live", s(20)).await;

    let mut refused = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&keep));
    assert_eq!(refused.end(s(20)).await, Some(false), "a second publisher is refused");
    assert_eq!(keep.snapshot().await["sources"][0]["protocol"], "srt");

    let _second = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&swap));
    assert!(firsts[1].end(s(20)).await.is_some(), "the first publisher is disconnected");
    swap.wait("the second one is on air", s(20), |s| {
        s["state"] == "live" && s["sources"][0]["protocol"] == "rtmp"
    })
    .await;
}
