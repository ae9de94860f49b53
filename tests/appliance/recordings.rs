//! Recordings that survive a power cut, and those that cannot be written.

use std::path::PathBuf;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, measure};
use crate::support::fault::disk::SmallDisk;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};
use crate::sync::newest_recording;

/// Longest loss by a power cut: the current fragment (1 s), and half a second in encoder and muxer.
const LOST_MAX_S: f64 = 1.5;

/// Waits until a recording contains media, not only a header.
async fn recording_of(appliance: &Appliance, stream: &Stream) -> PathBuf {
    let folder = appliance.state().join("recordings").join(&stream.name);
    eventually("a recording grows", s(20), || async {
        let newest = std::fs::read_dir(&folder)
            .map_err(|e| e.to_string())?
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "mp4"))
            .max()
            .ok_or("no file yet")?;
        let size = newest.metadata().map_err(|e| e.to_string())?.len();
        if size > 20_000 { Ok(newest) } else { Err(format!("{size} bytes")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_leaves_a_recording_that_plays_to_its_last_second() {
    let mut appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "cut", "preset": "record" })).await;
    let publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    let file = recording_of(&appliance, &stream).await;
    // From here on at least this much must be in the file, in addition to earlier media.
    let watched = Instant::now();
    tokio::time::sleep(s(6)).await;
    appliance.kill();
    let watched_s = watched.elapsed().as_secs_f64();
    publisher.kill().await;

    let report = measure(&file.display().to_string(), 0, 0).await;
    let span = report["video"]["span_s"].as_f64().unwrap_or(0.0);
    eprintln!("  {span:.2} s are in the file, {watched_s:.2} s were watched");
    assert!(span > watched_s - LOST_MAX_S, "{span} s of more than {watched_s} s: {report}");
    assert_eq!(report["errors"], 0, "every frame decodes: {report}");
    let sound = report["audio"]["seconds"].as_f64().unwrap_or(0.0);
    assert!((sound - span).abs() < 1.2, "{sound} s of sound beside {span} s of pictures");

    // After the restart the stream and its recording are known, and the publisher is recorded
    // again.
    appliance.launch().await;
    let listed = recordings(&appliance, &stream).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    eventually("a second recording is listed", s(20), || async {
        let listed = recordings(&appliance, &stream).await;
        if listed.len() == 2 { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
}

async fn recordings(appliance: &Appliance, stream: &Stream) -> Vec<Value> {
    let list = appliance.api.must_get(&format!("/api/v1/recordings?stream={}", stream.name)).await;
    list["items"].as_array().cloned().unwrap_or_else(|| panic!("no list: {list}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_are_listed_downloaded_in_ranges_and_deleted() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    let spec = json!({ "name": "kept", "preset": "record", "source": { "type": "test" } });
    let stream = api.create(spec).await;
    recording_of(&appliance, &stream).await;
    api.must_post(&format!("{}/outputs/record/stop", stream.path()), &json!({})).await;
    let listed = recordings(&appliance, &stream).await;
    let id = listed[0]["id"].as_str().unwrap_or_else(|| panic!("no id: {listed:?}")).to_owned();
    let path = format!("/api/v1/recordings/kept/{id}");

    let size = newest_recording(&appliance.state().join("recordings/kept"))
        .metadata()
        .map_or(0, |m| m.len());
    let bearer = format!("Bearer {}", crate::support::appliance::ADMIN);
    let range = |range: &str| {
        let request = api.raw(Method::GET, &format!("{path}/file"));
        api.send(request.header("Authorization", &bearer).header("Range", range))
    };
    let part = range("bytes=4-7").await.expect("an answer");
    assert_eq!((part.status, &*part.text), (206, "ftyp"), "{:?}", part.headers);
    assert_eq!(part.header("content-range"), format!("bytes 4-7/{size}"));
    let beyond = range(&format!("bytes={size}-")).await.expect("an answer");
    assert_eq!(beyond.status, 416, "{}", beyond.text);

    api.must_delete(&path).await;
    assert!(recordings(&appliance, &stream).await.is_empty());
    let gone = api.get(&path).await.expect("an answer");
    assert_eq!(gone.status, 404, "{}", gone.text);
}

/// A stream whose recording cannot be written must report it and continue for viewers.
async fn says_so_and_goes_on(appliance: &Appliance, stream: &Stream) {
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    viewer.wait_for("playing", s(30)).await;
    let snapshot = stream
        .wait("the recording shows what is wrong", s(30), |s| s["outputs"][0]["error"].is_string())
        .await;
    eprintln!("  shown: {}", snapshot["outputs"][0]["error"]);
    viewer.wait_until("progress", s(20), |e| e["frames"].as_u64() > Some(60)).await;
    assert_eq!(stream.snapshot().await["state"], "live");
    let report = viewer.finish().await;
    let gap = report["video"]["max_gap_ms"].as_f64().unwrap_or(f64::NAN);
    assert!(gap < 1000.0, "the viewer was disturbed for {gap} ms\n{}", appliance.log_text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unwritable_folder_costs_the_recording_and_nothing_else() {
    let appliance = Appliance::start().await;
    // Root may write anywhere, but not below a file.
    let folder = appliance.state().join("recordings");
    std::fs::create_dir_all(&folder).expect("the state folder is writable");
    std::fs::write(folder.join("walled"), "a file where a folder should be").expect("writable");
    let spec = json!({ "name": "walled", "preset": "record", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    says_so_and_goes_on(&appliance, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_the_recording_and_nothing_else() {
    let appliance = Appliance::start().await;
    let Some(disk) = SmallDisk::mount(&appliance.state().join("recordings"), 3) else { return };
    disk.fill(600);
    let spec = json!({ "name": "full", "preset": "record", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    says_so_and_goes_on(&appliance, &stream).await;
}
