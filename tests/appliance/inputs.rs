//! Unusual input of broadcast encoders, cameras and browsers: it is passed completely, or the
//! stream reports what is left out.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, measure};
use crate::support::media::once;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

/// Length of the files: longer than any test.
const LENGTH_S: u32 = 60;

/// How much of each stream is measured, in seconds.
const MEASURED_S: u32 = 6;

/// Video at 25 Hz and audio at 48 kHz, encoded with these ffmpeg arguments into MPEG-TS.
pub(super) fn transport(name: &str, inputs: &str, coding: &str) -> PathBuf {
    once(name, |file| {
        let mut command = Command::new("ffmpeg");
        command.args("-v error -nostdin -y -f lavfi -i testsrc2=s=320x180:r=25".split(' '));
        command.args("-f lavfi -i sine=f=440:r=48000".split(' ')).args(inputs.split_whitespace());
        command.args(["-t", &LENGTH_S.to_string()]);
        command.args(coding.split_whitespace()).args(["-f", "mpegts"]).arg(file);
        let made = command.status().expect("ffmpeg is installed: run `make setup` first");
        assert!(made.success(), "ffmpeg cannot make {name}");
    })
}

pub(super) const H264: &str =
    "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 300k -g 25 -pix_fmt yuv420p";

pub(super) fn h264_with(name: &str, sound: &str) -> PathBuf {
    transport(name, "", &format!("{H264} -ac 2 {sound}"))
}

/// Publishes a file once, in real time and without re-encoding.
pub(super) fn publish(file: &std::path::Path, flags: &str, url: &str) -> Ffmpeg {
    let format = if url.starts_with("rtmp") { "flv" } else { "mpegts" };
    let file = file.display();
    Ffmpeg::with(&format!("-re -i {file} -map 0 -c copy {flags} -f {format} {url}"))
}

pub(super) fn notes(snapshot: &Value) -> String {
    snapshot["sources"][0]["notes"].to_string()
}

pub(super) fn format_of(snapshot: &Value, feed: &str) -> String {
    let feeds = snapshot["feeds"].as_array().cloned().unwrap_or_default();
    let found = feeds.iter().find(|f| f["name"] == feed);
    found.and_then(|f| f["format_text"].as_str()).unwrap_or_default().to_owned()
}

/// Receives some seconds of a stream by SRT and counts video and audio by timestamps.
async fn comes_out_whole(appliance: &Appliance, stream: &Stream, pictures_hz: f64) {
    stream.wait_state("live", s(30)).await;
    let file = appliance.state().join(format!("{}.ts", stream.name));
    let mut viewer = Ffmpeg::receive(&appliance.srt_play(stream), MEASURED_S, &file);
    let ended = viewer.end(s(60)).await;
    let report = measure(&file.display().to_string(), 0, 0).await;
    let number =
        |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let (frames, span) = (number("/video/frames"), number("/video/span_s"));
    let due = span * pictures_hz + 1.0;
    eprintln!(
        "  {:<10} {frames} pictures of {due:.0}, {:.2} s of sound with {:.0} ms missing",
        stream.name,
        number("/audio/seconds"),
        number("/audio/lost_ms"),
    );
    assert_eq!(ended, Some(true), "{}: {report}", stream.name);
    assert!(span > 3.0, "{}: {report}", stream.name);
    // More is no loss: what was on its way when the viewer joined arrives at once.
    assert!(frames >= due - 2.0, "{}: {frames} pictures of {due}: {report}", stream.name);
    assert!((number("/audio/seconds") - span).abs() < 1.5, "{}: {report}", stream.name);
    assert!(number("/audio/lost_ms") < 60.0, "{}: {report}", stream.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codecs_of_broadcast_come_out_whole() {
    let appliance = Appliance::start().await;
    let interlaced = "-c:v mpeg2video -flags +ildct+ilme -top 1 -b:v 1M -g 25 -c:a mp2";
    for (name, file, flags) in [
        ("mpeg2", transport("mpeg2-interlaced.ts", "", interlaced), ""),
        ("latm", h264_with("latm.ts", "-c:a aac -mpegts_flags latm"), "-mpegts_flags latm"),
        ("eac3", h264_with("eac3.ts", "-c:a eac3"), ""),
        ("s302m", h264_with("s302m.ts", "-c:a s302m -strict -2"), ""),
    ] {
        let stream = appliance.api.create(json!({ "name": name, "linger_s": 1 })).await;
        let publisher = publish(&file, flags, &appliance.srt(&stream));
        comes_out_whole(&appliance, &stream, 25.0).await;
        let snapshot = stream.snapshot().await;
        assert_eq!(notes(&snapshot), "[]", "{snapshot}");
        publisher.kill().await;
    }
}

/// ffmpeg sends an empty AAC sequence header before it has seen the first packet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ffmpeg_copies_from_a_transport_stream_to_rtmp_comes_out_whole() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "copied" })).await;
    let file = h264_with("aac.ts", "-c:a aac");
    let _publisher = publish(&file, "", &appliance.rtmp(&stream));
    comes_out_whole(&appliance, &stream, 25.0).await;
    let snapshot = stream.snapshot().await;
    let expect = "a sequence header of aac is ignored: 0 bytes";
    assert!(notes(&snapshot).contains(expect), "{snapshot}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_cannot_be_taken_costs_no_pictures_and_is_named() {
    let appliance = Appliance::start().await;
    for (name, codec, shown) in [("truehd", "truehd", "TrueHD"), ("dts", "dca", "DTS")] {
        goes_on_without_sound(&appliance, name, codec, shown).await;
    }
}

async fn goes_on_without_sound(appliance: &Appliance, name: &str, codec: &str, shown: &str) {
    let stream = appliance.api.create(json!({ "name": name })).await;
    let file = h264_with(&format!("{name}.ts"), &format!("-c:a {codec} -strict -2"));
    let _publisher = publish(&file, "", &appliance.srt(&stream));
    let live = |s: &Value| s["state"] == "live" && !format_of(s, "video").is_empty();
    let snapshot = stream.wait("pictures alone", s(30), live).await;
    let expect = format!("PID 257 (0x101), {shown} is ignored: no such media is taken");
    assert!(notes(&snapshot).contains(&expect), "{snapshot}");
    let connected = snapshot["sources"][0]["since"].clone();
    let frames = |s: &Value| {
        let feeds = s["feeds"].as_array().cloned().unwrap_or_default();
        feeds.iter().find(|f| f["name"] == "video").and_then(|f| f["buffers"].as_u64())
    };
    let later = stream.wait("pictures go on", s(30), |s| frames(s) > Some(100)).await;
    assert_eq!(later["sources"][0]["since"], connected, "the same connection: {later}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mpeg_ts_over_rtmp_is_refused_with_what_to_do() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "wrong" })).await;
    let file = h264_with("aac.ts", "-c:a aac");
    let (file, url) = (file.display(), appliance.rtmp(&stream));
    // ffmpeg does not end while it has nothing to send.
    let _publisher = Ffmpeg::with(&format!("-re -i {file} -c copy -f mpegts {url}"));
    eventually("the log says it", s(40), || async {
        let log = appliance.log_text();
        if log.contains("what comes is MPEG-TS, and RTMP carries FLV") { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_by_rtsp_is_seen_and_heard() {
    let Some(mut camera) = Client::camera() else { return };
    let url = camera.wait_for("serving", s(20)).await["url"].clone();
    let appliance = Appliance::start().await;
    let source = json!({ "type": "rtsp", "url": url });
    let stream = appliance.api.create(json!({ "name": "camera", "source": source })).await;
    comes_out_whole(&appliance, &stream, 25.0).await;
    let snapshot = stream.snapshot().await;
    assert_eq!(format_of(&snapshot, "audio"), "aac 48000 Hz 2 ch", "{snapshot}");
    assert_eq!(notes(&snapshot), "[]", "{snapshot}");
    camera.finish().await;
}

/// Number of frames that a browser has encoded, by its newest report.
async fn encoded(browser: &mut Client) -> f64 {
    let mut newest = 0.0;
    loop {
        let next = tokio::time::timeout(Duration::from_millis(100), browser.next_event()).await;
        match next {
            Ok(Some(event)) => newest = event["encoded"].as_f64().unwrap_or(newest),
            Ok(None) => return newest,
            Err(_) if newest > 0.0 => return newest,
            Err(_) => {}
        }
    }
}

/// Chromium sends each frame in layers of rising size: all of the largest ones are passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vp9_in_layers_comes_out_at_its_full_rate_and_size() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "layers" })).await;
    let (publish, whip) = (stream.publish_token(), stream.whip());
    let args = [&whip, "--token", &publish, "--codec", "vp9", "--scalability", "L3T3_KEY"];
    let mut browser = Client::browser("whip", &args);
    browser.wait_for("publishing", s(40)).await;
    let large = |s: &Value| format_of(s, "video").contains("rawvideo 640x480");
    let snapshot = stream.wait("the top layer", s(40), large).await;
    assert!(notes(&snapshot).contains("spatial layers: it is decoded"), "{snapshot}");
    let count = |s: &Value| {
        let feeds = s["feeds"].as_array().cloned().unwrap_or_default();
        feeds
            .iter()
            .find(|f| f["name"] == "video")
            .and_then(|f| f["buffers"].as_f64())
            .unwrap_or(0.0)
    };
    let (sent, came) = (encoded(&mut browser).await, count(&stream.snapshot().await));
    let enough = |e: &Value| e["encoded"].as_f64() > Some(sent + 120.0);
    browser.wait_until("progress", s(60), enough).await;
    let (sent_then, came_then) = (encoded(&mut browser).await, count(&stream.snapshot().await));
    // Chromium counts each layer of a frame.
    let layers = notes(&snapshot);
    let layers = layers.split("comes in ").nth(1).and_then(|n| n.split(' ').next()?.parse().ok());
    let layers: f64 = layers.unwrap_or_else(|| panic!("no number of layers: {snapshot}"));
    let (sent, came) = ((sent_then - sent) / layers, came_then - came);
    eprintln!("  {sent} pictures were sent and {came} came");
    assert!(came > sent * 0.8, "{sent} pictures were sent and {came} came");
    browser.finish().await;
}
