//! Every input protocol to every output, all at the same time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, output};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

/// Time limit for media to reach a viewer while three streams are encoded for four browsers. A quiet
/// machine needs 2 s; one that others use at the same time needed more than 40 s.
const PLAYING_MAX: Duration = s(120);

/// The same in seconds for the browsers' own limit, which comes first and says more.
const PATIENCE: &str = "100";

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("no `{field}` in {value}"))
}

/// Watches the stream by WHEP in headless Chromium and in aiortc: video and audio in both.
async fn watch_whep(stream: &Stream) {
    let (url, token) = (stream.whep(), stream.play_token());
    let mut browser = Client::browser("whep", &[&url, "--token", &token, "--patience", PATIENCE]);
    let mut aiortc = Client::python("whep.py", &[&url, "--token", &token]);
    let first = browser.wait_for("playing", PLAYING_MAX).await;
    aiortc.wait_for("playing", PLAYING_MAX).await;

    // Decoded frames and audio energy both rise between two readings.
    let flows = |e: &Value| e["decoded"].as_u64() > Some(30) && e["energy"].as_f64() > Some(0.0);
    let early = browser.wait_until("progress", s(30), flows).await;
    let (frames, energy) = (number(&early, "decoded"), number(&early, "energy"));
    browser
        .wait_until("progress", s(30), |e| {
            e["decoded"].as_f64() > Some(frames + 30.0) && e["energy"].as_f64() > Some(energy)
        })
        .await;
    aiortc
        .wait_until("progress", s(30), |e| {
            e["frames"].as_u64() > Some(60) && e["energy"].as_f64() > Some(0.0)
        })
        .await;
    eprintln!("  {}: Chromium's first picture after {} ms", stream.name, first["first_frame_ms"]);
    browser.finish().await;
    aiortc.finish().await;
}

/// Watches the stream by HLS: ffprobe finds both tracks, hls.js plays them.
async fn watch_hls(stream: &Stream) {
    eventually("ffprobe reads the playlist", PLAYING_MAX, || async {
        let url = stream.hls();
        let args = ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", &url];
        let (status, text) = output("ffprobe", &args, s(30)).await;
        let both = text.contains("video") && text.contains("audio");
        if status.success() && both { Ok(()) } else { Err(text) }
    })
    .await;
    // A player that falls out of the window while its browser starves may stand still for good, although
    // the segments are there: then another one must play.
    if tokio::spawn(play_hls(stream.hls())).await.is_err() {
        eprintln!("  {}: hls.js stood still; another one is tried", stream.name);
        play_hls(stream.hls()).await;
    }
}

async fn play_hls(url: String) {
    let mut player = Client::browser("hls", &[&url, "--patience", PATIENCE]);
    player.wait_for("playing", PLAYING_MAX).await;
    player
        .wait_until("progress", s(40), |e| {
            e["frames"].as_u64() > Some(60) && e["audio_bytes"].as_u64() > Some(2000)
        })
        .await;
    let report = player.finish().await;
    let fatal = report["errors"].to_string().contains("fatal=true");
    assert!(!fatal, "hls.js gave up: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_a_stream_and_plays_it() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "on-the-page", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    let token = crate::support::appliance::ADMIN;
    let args = [&appliance.api.url("/"), "--token", token, "--stream", "on-the-page"];
    let report = Client::browser("page", &args).report(s(60)).await;
    assert_eq!(report["heading"], "on-the-page", "{report}");
    assert_eq!(report["width"], 640, "{report}");
    assert!(report["graph"].as_u64() > Some(5), "the graph is drawn: {report}");
    assert_eq!(report["errors"], json!([]), "the console is quiet: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_protocols_in_and_all_ways_out_at_the_same_time() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    let mut streams = Vec::new();
    for name in ["by-srt", "by-rtmp", "by-whip"] {
        streams.push(api.create(json!({ "name": name, "preset": "record" })).await);
    }
    let [by_srt, by_rtmp, by_whip] = &streams[..] else { unreachable!("three were made") };
    let _srt = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(by_srt));
    let _rtmp = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(by_rtmp));
    let (url, token) = (by_whip.whip(), by_whip.publish_token());
    let args = [&*url, "--token", &token, "--patience", PATIENCE];
    let mut chromium = Client::browser("whip", &args);
    chromium.wait_for("publishing", PLAYING_MAX).await;
    for stream in &streams {
        stream.wait_state("live", s(30)).await;
    }

    // Every stream has viewers of one kind at the same time; all are recorded throughout.
    tokio::join!(watch_whep(by_srt), watch_whep(by_rtmp), watch_whep(by_whip));
    tokio::join!(watch_hls(by_srt), watch_hls(by_rtmp), watch_hls(by_whip));

    for stream in &streams {
        let snapshot = stream.snapshot().await;
        assert_eq!(snapshot["state"], "live", "{snapshot}");
        let record = &snapshot["outputs"][0];
        assert_eq!(record["state"], "running", "{}: {record}", stream.name);
    }
    chromium.finish().await;
}
