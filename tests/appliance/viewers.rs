//! Sources that some viewers cannot play unchanged: browsers can see everything that is published.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, output};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};
use crate::sync::newest_recording;

/// The offer of Debian's Chromium: of H.264 above Main only 4:4:4, at payload type 41.
const CHROMIUM: &str = include_str!("../data/chromium-recvonly.sdp");

const TESTCARD: &str = "-re -f lavfi -i testsrc2=s=320x180:r=25";
const TONE: &str = "-re -f lavfi -i sine=f=440:r=48000";
const AAC: &str = "-pix_fmt yuv420p -c:a aac -ac 2";

/// Waits until Chromium has decoded this many frames by WHEP, and some audio.
async fn seen_by_whep(stream: &Stream, pictures: u64) -> Value {
    let token = stream.play_token();
    let mut viewer = Client::browser("whep", &[&stream.whep(), "--token", &token]);
    let flows =
        |e: &Value| e["decoded"].as_u64() > Some(pictures) && e["energy"].as_f64() > Some(0.0);
    let seen = viewer.wait_until("progress", s(60), flows).await;
    viewer.finish().await;
    seen
}

/// The same by HLS.
async fn seen_by_hls(stream: &Stream, pictures: u64) {
    let mut player = Client::browser("hls", &[&stream.hls(), "--patience", "60"]);
    let flows =
        |e: &Value| e["frames"].as_u64() > Some(pictures) && e["audio_bytes"].as_u64() > Some(2000);
    player.wait_until("progress", s(60), flows).await;
    player.finish().await;
}

fn has_node(snapshot: &Value, name: &str) -> bool {
    let nodes = snapshot["nodes"].as_array();
    nodes.is_some_and(|nodes| nodes.iter().any(|node| node["name"] == name))
}

/// Timestamps of the packets of a track in a file, in seconds and in the order of the file.
async fn times(file: &Path, track: &str) -> Vec<f64> {
    let (file, fields) = (file.display().to_string(), "packet=pts_time");
    let args = ["-v", "error", "-select_streams", track, "-show_entries", fields, "-of", "csv=p=0"];
    let args: Vec<&str> = args.into_iter().chain([file.as_str()]).collect();
    let (status, text) = output("ffprobe", &args, s(60)).await;
    assert!(status.success(), "{text}");
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

/// Number of the publisher's frames that have passed so far.
fn pictures_of(snapshot: &Value) -> u64 {
    let feeds = snapshot["feeds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let video = feeds.iter().find(|feed| feed["name"] == "video");
    video.and_then(|feed| feed["buffers"].as_u64()).unwrap_or_else(|| panic!("none: {snapshot}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h264_high_goes_to_chromium_untouched_at_whatever_payload_type_it_offers() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "high" })).await;
    let high = "-c:v libx264 -profile:v high -preset veryfast -bf 0 -g 25";
    let target = format!("-f flv {}", appliance.rtmp(&stream));
    let _publisher = Ffmpeg::with(&format!("{TESTCARD} {TONE} {high} {AAC} {target}"));
    stream.wait_state("live", s(30)).await;

    let request = appliance.api.raw(Method::POST, "/whep/high").bearer_auth(stream.play_token());
    let request = request.header("Content-Type", "application/sdp").body(CHROMIUM);
    let answer = appliance.api.send(request).await.expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text);
    for line in ["m=video 9 UDP/TLS/RTP/SAVPF 41 42", "a=rtpmap:41 H264/90000"] {
        assert!(answer.text.lines().any(|l| l == line), "`{line}` is not in\n{}", answer.text);
    }

    // The packets have that payload type too, else the browser would not recognise them.
    let seen = seen_by_whep(&stream, 50).await;
    assert_eq!(seen["codec_video"].as_str().map(str::to_lowercase).as_deref(), Some("h264"));
    let snapshot = stream.snapshot().await;
    assert!(!has_node(&snapshot, "encode.video.h264"), "untouched: {}", snapshot["nodes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intra_refresh_is_seen_in_browsers_and_recorded_as_it_is() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "refresh", "preset": "record" })).await;
    let refresh = "-c:v libx264 -profile:v baseline -preset veryfast -b:v 300k \
                   -x264-params intra-refresh=1:keyint=50:bframes=0:scenecut=0";
    let target = format!("-f flv {}", appliance.rtmp(&stream));
    let _publisher = Ffmpeg::with(&format!("{TESTCARD} {TONE} {refresh} {AAC} {target}"));
    stream.wait_state("live", s(30)).await;
    let before = pictures_of(&stream.snapshot().await);

    tokio::join!(seen_by_whep(&stream, 50), seen_by_hls(&stream, 50));

    // In FLV recovery points have no parameter sets: a message contains them.
    let noted = |s: &Value| s["sources"][0]["notes"].to_string().contains("IDR pictures");
    let snapshot = stream.wait("the source has a note", s(30), noted).await;
    // Viewers that join now get re-encoded video.
    tokio::join!(seen_by_whep(&stream, 50), seen_by_hls(&stream, 50));
    assert!(has_node(&stream.snapshot().await, "encode.video.h264"), "{snapshot}");
    let record = &snapshot["outputs"][0];
    assert_eq!(record["state"], "running", "{record}");
    let came = pictures_of(&snapshot) - before;
    stream.api.must_delete(&stream.path()).await;
    let file = newest_recording(&appliance.state().join("recordings/refresh"));
    let recorded = times(&file, "v:0").await.len() as u64;
    assert!(came > 100, "{came} pictures came meanwhile");
    assert!(recorded >= came, "{recorded} of at least {came} pictures are recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_picture_in_two_seconds_is_recorded_and_played_whole() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "slides", "preset": "record" })).await;
    let slides = "-re -f lavfi -i testsrc2=s=320x180:r=1/2";
    let coding = "-c:v libx264 -preset veryfast -tune zerolatency -g 3 -sc_threshold 0";
    // FFmpeg delays audio until the next frame: it comes in bursts of two seconds.
    let target = format!("-f flv {}", appliance.rtmp(&stream));
    let _publisher = Ffmpeg::with(&format!("{slides} {TONE} {coding} {AAC} {target}"));
    stream.wait_state("live", s(30)).await;

    // Segments of three frames each: a discontinuity would put each frame into its own segment.
    let lines = eventually("HLS has segments", s(40), || async {
        let path = format!("/hls/slides/video.m3u8?token={}", stream.play_token());
        let answer = appliance.api.get(&path).await?;
        let list: Vec<String> = answer.text.lines().map(str::to_owned).collect();
        let segments = list.iter().filter(|line| line.starts_with("#EXTINF")).count();
        if segments >= 3 { Ok(list) } else { Err(answer.text) }
    })
    .await;
    let text = lines.join("\n");
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    let length = |line: &String| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok();
    let lengths: Vec<f64> = lines.iter().filter_map(length).collect();
    assert!(lengths.iter().all(|l| (*l - 6.0).abs() < 0.1), "{lengths:?}");

    stream.api.must_delete(&stream.path()).await;
    let file = newest_recording(&appliance.state().join("recordings/slides"));
    let (pictures, sound) = (times(&file, "v:0").await, times(&file, "a:0").await);
    assert!(pictures.len() >= 9, "{pictures:?}");
    let steps: Vec<f64> = pictures.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (*step - 2.0).abs() < 0.05), "every picture: {steps:?}");
    // 1,024 samples per audio frame: the number of frames that fit between the first and the last.
    let span = sound.last().unwrap_or(&0.0) - sound.first().unwrap_or(&0.0);
    let expected = (span * 48_000.0 / 1024.0).round() + 1.0;
    assert!((sound.len() as f64 - expected).abs() < 1.5, "{} of {expected} frames", sound.len());
    assert!(span > 18.0, "{span} s of sound beside {pictures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hevc_is_offered_as_it_is_and_as_h264_that_is_made_when_somebody_plays_it() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "hevc" })).await;
    let _publisher = Ffmpeg::send(Coding::H265, &appliance.srt(&stream));
    stream.wait_state("live", s(30)).await;
    let path = format!("/hls/hevc/index.m3u8?token={}", stream.play_token());
    let master = eventually("HLS has both tracks", s(40), || async {
        let answer = appliance.api.get(&path).await?;
        if answer.text.contains("video.m3u8") { Ok(answer.text) } else { Err(answer.text) }
    })
    .await;
    let variants: Vec<&str> = master.lines().filter(|line| line.contains("STREAM-INF")).collect();
    let [hevc, h264] = variants[..] else { panic!("two variants, not\n{master}") };
    assert!(hevc.contains("CODECS=\"hvc1."), "{hevc}");
    assert!(h264.contains("CODECS=\"avc1.42c01e,mp4a.40.2\""), "{h264}");
    assert!(h264.contains("RESOLUTION=640x360"), "{h264}");
    let snapshot = stream.snapshot().await;
    let made = |snapshot: &Value| has_node(snapshot, "encode.video.h264");
    assert!(!made(&snapshot), "nobody plays it yet: {}", snapshot["nodes"]);

    // Debian's Chromium has no decoder for HEVC.
    seen_by_hls(&stream, 60).await;
    assert!(made(&stream.snapshot().await));
}
