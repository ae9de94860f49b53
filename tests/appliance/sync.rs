//! Audio/video offset, cadence and gaps, measured from flashes and beeps on every path.

use std::path::Path;

use serde_json::json;

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, measure};
use crate::support::expect::{Bounds, FILED, LIVE, expect};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// A WebRTC client stamps audio and video itself; on a busy processor it does so up to 90 ms apart.
const FROM_WEBRTC: Bounds = Bounds { av_offset_ms: LIVE.av_offset_ms + 20.0, ..FILED };

/// Measured length of each path, seconds.
const MEASURED_S: u32 = 10;

/// Measures every output of one live stream: WHEP, HLS, SRT and the recording.
async fn measure_all_ways_out(appliance: &Appliance, stream: &Stream, label: &str, filed: Bounds) {
    let token = stream.play_token();
    let seconds = MEASURED_S.to_string();
    let pulled = appliance.state().join("pulled.ts");
    let mut puller = Ffmpeg::receive(&appliance.srt_play(stream), MEASURED_S, &pulled);
    let whep = Client::python(
        "whep.py",
        &[&stream.whep(), "--token", &token, "--seconds", &seconds, "--patience", "30"],
    );
    let whep = whep.report(s(90)).await;
    assert_eq!(puller.end(s(40)).await, Some(true), "{label}: ffmpeg did not get its fill by SRT");
    let by_srt = measure(&path(&pulled), 0, 1).await;
    let by_hls = measure(&stream.hls(), MEASURED_S, 0).await;

    // Stopping the recording finishes its file.
    stream.api.must_delete(&stream.path()).await;
    let recorded = newest_recording(&appliance.state().join("recordings").join(&stream.name));
    let recorded = measure(&path(&recorded), 0, 1).await;
    expect(&format!("{label} to SRT"), &by_srt, filed);
    expect(&format!("{label} to HLS"), &by_hls, filed);
    expect(&format!("{label} to recording"), &recorded, filed);
    expect(&format!("{label} to WHEP"), &whep, LIVE);
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// The last file of a folder by name; recordings are named by their time.
pub(crate) fn newest_recording(folder: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "mp4"));
    files.sort();
    files.pop().unwrap_or_else(|| panic!("{} holds no recording", folder.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_by_srt_stays_in_sync() {
    let appliance = Appliance::start_alone("").await;
    let stream = appliance.api.create(json!({ "name": "by-srt", "preset": "record" })).await;
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    measure_all_ways_out(&appliance, &stream, "SRT, H.264 with B-frames", FILED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_by_rtmp_stays_in_sync() {
    let appliance = Appliance::start_alone("").await;
    let stream = appliance.api.create(json!({ "name": "by-rtmp", "preset": "record" })).await;
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&stream));
    stream.wait_state("live", s(20)).await;
    measure_all_ways_out(&appliance, &stream, "RTMP, H.264 with B-frames", FILED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_by_whip_stays_in_sync() {
    let appliance = Appliance::start_alone("").await;
    let stream = appliance.api.create(json!({ "name": "by-whip", "preset": "record" })).await;
    let token = stream.publish_token();
    let mut publisher = Client::python("whip.py", &[&stream.whip(), "--token", &token]);
    publisher.wait_for("publishing", s(30)).await;
    stream.wait_state("live", s(20)).await;
    measure_all_ways_out(&appliance, &stream, "WHIP, VP8", FROM_WEBRTC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h265_reaches_a_viewer_that_refuses_it() {
    let appliance = Appliance::start_alone("").await;
    let stream = appliance.api.create(json!({ "name": "hevc" })).await;
    let _publisher = Ffmpeg::send(Coding::H265, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    let args = [&stream.whep(), "--token", &stream.play_token(), "--seconds", "10"];
    let whep = Client::python("whep.py", &args).report(s(90)).await;
    expect("SRT, H.265 to WHEP", &whep, LIVE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_source_and_denoised_sound_stay_in_sync() {
    let appliance = Appliance::start_alone("").await;
    let spec = json!({ "name": "cleaned", "preset": "clean-audio", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    // A beep is no speech: with all of the original mixed back it passes, through the same element.
    stream
        .api
        .must_patch(
            &format!("{}/denoise", stream.path()),
            &json!({ "enabled": true, "mix": 0.0, "max_attenuation_db": 100.0 }),
        )
        .await;
    let args = [&stream.whep(), "--token", &stream.play_token(), "--seconds", "10"];
    let whep = Client::python("whep.py", &args).report(s(90)).await;
    expect("test source, denoised, WHEP", &whep, LIVE);
}
