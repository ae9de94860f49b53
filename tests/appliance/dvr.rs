//! The DVR window: viewers go back further than the live window, and the disk gets it back.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, output};
use crate::support::fault::Conditions;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

/// Short segments, of which few are in memory: three, and three more as their grace.
const SHORT: &str = "hls.segment_s = 1\nhls.segments = 3\nhls.part_ms = 200";

/// Least seconds that a window of 20 s must have before it is watched.
const WINDOW_S: f64 = 16.0;

/// A media playlist, as its text.
async fn playlist(stream: &Stream, file: &str) -> Result<String, String> {
    let separator = if file.contains('?') { '&' } else { '?' };
    let path = format!("/hls/{}/{file}{separator}token={}", stream.name, stream.play_token());
    let answer = stream.api.get(&path).await?;
    if answer.status == 200 { Ok(answer.text) } else { Err(answer.text) }
}

/// Names of the listed segments.
fn segments(playlist: &str) -> Vec<&str> {
    let files = playlist.lines().filter(|line| !line.starts_with('#'));
    files.filter_map(|line| line.split('?').next()).filter(|l| l.ends_with(".m4s")).collect()
}

/// Seconds that a playlist lists.
fn length_s(playlist: &str) -> f64 {
    let lengths = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
    lengths.filter_map(|l| l.trim_end_matches(',').parse::<f64>().ok()).sum()
}

/// Waits until the playlist of a track is as long as this.
async fn long(stream: &Stream, file: &str, least_s: f64) -> String {
    eventually("the window is long", s(90), || async {
        let text = playlist(stream, file).await?;
        if length_s(&text) >= least_s { Ok(text) } else { Err(text) }
    })
    .await
}

/// Folders and files of all DVR windows.
fn files(state: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(state.join("dvr")).into_iter().flatten().flatten();
    folders
        .flat_map(|folder| {
            let inside = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
            let inside: Vec<PathBuf> = inside.map(|file| file.path()).collect();
            std::iter::once(folder.path()).chain(inside)
        })
        .collect()
}

/// The figures of the segments' node.
fn fact(stream: &Value, name: &str) -> f64 {
    let nodes = stream["nodes"].as_array().into_iter().flatten();
    let node = nodes.into_iter().find(|node| node["name"] == "hls");
    node.and_then(|node| node["facts"][name].as_f64()).unwrap_or_default()
}

/// ffprobe reads from the oldest segment, by HLS and by DASH; hls.js goes back and to the live edge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_goes_back_and_the_folder_goes_with_the_stream() {
    let mut appliance = Appliance::start_with(SHORT).await;
    let spec = json!({ "name": "dvr", "dvr_s": 9, "source": { "type": "test" } });
    let api = &appliance.api;
    let answer = api.request(reqwest::Method::POST, "/api/v1/streams", Some(&spec)).await;
    let answer = answer.expect("an answer");
    assert!(answer.status == 422 || answer.status == 400, "{}", answer.text);
    assert!(answer.text.contains("10-21600 seconds"), "{}", answer.text);

    let stream = api.create(json!({ "name": "dvr", "dvr_s": 20 })).await;
    let publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    let video = long(&stream, "video.m3u8", WINDOW_S).await;
    assert!(video.contains("CAN-SKIP-UNTIL="), "{video}");
    assert!(
        !video.contains("EXT-X-PLAYLIST-TYPE") && video.contains("PROGRAM-DATE-TIME"),
        "{video}"
    );
    let short = playlist(&stream, "video.m3u8?_HLS_skip=YES").await.expect("a playlist");
    let skipped = short.lines().find_map(|l| l.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS="));
    assert!(skipped.is_some() && length_s(&short) < length_s(&video), "{short}");
    headers_are_the_same(&stream, &video).await;
    from_the_beginning(&stream).await;

    let mut player = Client::browser("hls", &[&stream.hls(), "--patience", "60"]);
    player.wait_for("playing", s(90)).await;
    player.tell("back 15").await;
    let back = player.wait_for("sought", s(90)).await;
    assert!(back["window_s"].as_f64() > Some(WINDOW_S - 2.0), "{back}");
    assert!(back["behind_s"].as_f64() > Some(10.0) && back["frames"].as_u64() > Some(10), "{back}");
    player.tell("live").await;
    let live = player.wait_for("sought", s(90)).await;
    assert!(live["target"].as_f64() > back["position_s"].as_f64(), "{live} after {back}");
    let report = player.finish().await;
    assert!(!report["errors"].to_string().contains("fatal=true"), "{report}");

    let snapshot = stream.snapshot().await;
    eprintln!(
        "  {} files, {} KB on the disk, {} KB in memory, {} s",
        files(&appliance.state()).len(),
        fact(&snapshot, "dvr_bytes") / 1000.0,
        fact(&snapshot, "bytes_held") / 1000.0,
        fact(&snapshot, "dvr_s")
    );
    // Six segments of two seconds and what is open are in memory; the disk has three beyond the window.
    assert!(fact(&snapshot, "bytes_held") < 0.7 * fact(&snapshot, "dvr_bytes"), "{snapshot}");
    assert_eq!(snapshot["last_error"], Value::Null, "{snapshot}");

    // What a crash leaves is gone after the next start.
    let before = files(&appliance.state());
    appliance.kill();
    drop(publisher);
    appliance.launch().await;
    eventually("leftovers are deleted", s(30), || async {
        let left = before.iter().filter(|path| path.exists()).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} files")) }
    })
    .await;
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    eventually("files are written again", s(60), || async {
        let count = files(&appliance.state()).len();
        if count > 3 { Ok(()) } else { Err(format!("{count} files")) }
    })
    .await;
    appliance.api.must_delete(&stream.path()).await;
    eventually("the folder is deleted", s(20), || async {
        let left = files(&appliance.state());
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// The oldest segment comes from the disk, the newest from memory.
async fn headers_are_the_same(stream: &Stream, video: &str) {
    let listed = segments(video);
    let of = async |file: &str| {
        let path = format!("/hls/{}/{file}?token={}", stream.name, stream.play_token());
        let answer = reqwest::get(stream.api.url(&path)).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{file}");
        let headers = answer.headers();
        let length = headers["content-length"].to_str().expect("a number").parse().ok();
        let names: Vec<String> = headers.keys().map(ToString::to_string).collect();
        let (kind, caching) = (headers["content-type"].clone(), headers["cache-control"].clone());
        let tag =
            headers["etag"].to_str().expect("a tag").replace(file.trim_end_matches(".m4s"), "");
        let bytes = answer.bytes().await.expect("a body");
        assert_eq!(Some(bytes.len()), length, "{file}");
        (names, kind, caching, tag)
    };
    let (old, new) = (of(listed[0]).await, of(listed[listed.len() - 1]).await);
    assert_eq!(old, new);
}

/// A client that begins with the oldest segment finds pictures and sound without a hole.
async fn from_the_beginning(stream: &Stream) {
    let url = stream.hls().replace("index.m3u8", "video.m3u8");
    let args = ["-v", "error", "-live_start_index", "1", "-read_intervals", "%+12"];
    let show = ["-show_entries", "packet=pts_time", "-of", "csv=p=0", &url];
    let begun = chrono::Utc::now();
    let (status, text) = output("ffprobe", &[&args[..], &show[..]].concat(), s(60)).await;
    let took = (chrono::Utc::now() - begun).num_milliseconds() as f64 / 1000.0;
    let mut times: Vec<f64> =
        text.lines().filter_map(|l| l.trim_end_matches(',').parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    let read = times.last().zip(times.first()).map_or(0.0, |(last, first)| last - first);
    let hole = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    eprintln!("  ffprobe: {} packets of {read:.1} s in {took:.1} s", times.len());
    assert!(status.success() && read > 11.0 && hole < 0.1, "{read} s, a hole of {hole} s: {text}");

    let url = stream.hls().replace("/hls/", "/dash/").replace("index.m3u8", "manifest.mpd");
    let manifest = reqwest::get(&url).await.expect("an answer").text().await.expect("text");
    let depth =
        manifest.split("timeShiftBufferDepth=\"PT").nth(1).and_then(|m| m.split('S').next());
    let depth: f64 = depth.and_then(|d| d.parse().ok()).expect("a depth");
    assert!((WINDOW_S..24.0).contains(&depth), "{manifest}");
    let entries = ["-show_entries", "stream=codec_type", "-of", "csv=p=0", &url];
    let (status, text) =
        output("ffprobe", &[&["-v", "error"][..], &entries[..]].concat(), s(60)).await;
    assert!(status.success() && text.contains("video") && text.contains("audio"), "{text}");
}

/// A publisher that returns: the past stays, behind a discontinuity. A full disk shortens the window, says
/// so, and disturbs nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_outlives_a_publisher_and_a_full_disk_shortens_it() {
    let conditions = Conditions { state_disk_mib: Some(24), ..Conditions::default() };
    let Some(appliance) = Appliance::start_under(conditions, SHORT).await else { return };
    let stream = appliance.api.create(json!({ "name": "dvr", "dvr_s": 60, "linger_s": 0 })).await;
    let publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    let before = long(&stream, "video.m3u8", 8.0).await;
    publisher.kill().await;
    stream.wait_state("idle", s(30)).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    stream.wait_state("live", s(30)).await;
    let after = eventually("the past is listed", s(60), || async {
        let text = playlist(&stream, "video.m3u8").await?;
        let crossed = text.split_once("#EXT-X-DISCONTINUITY\n");
        let new = crossed.map_or(0.0, |(_, new)| length_s(new));
        if new > 4.0 { Ok(text) } else { Err(text) }
    })
    .await;
    let kept = segments(&before)[2..].iter().filter(|file| after.contains(*file)).count();
    assert!(kept >= 2, "{before} and {after}");

    appliance.disk().fill(0);
    let told = stream.wait("the disk is full", s(60), |v| {
        v["last_error"].as_str().is_some_and(|e| e.contains("DVR window is full"))
    });
    let told = told.await;
    assert!(told["last_error_hint"].as_str().is_some_and(|h| h.contains("dvr_s")), "{told}");
    assert_eq!(told["state"], "live");
    let shorter = eventually("the window is shorter", s(60), || async {
        let text = playlist(&stream, "video.m3u8").await?;
        if length_s(&text) < 8.0 { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(segments(&shorter).len() >= 3, "the live window stays: {shorter}");
    for file in segments(&shorter) {
        let path = format!("/hls/dvr/{file}?token={}", stream.play_token());
        let answer = reqwest::get(stream.api.url(&path)).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{file}");
    }
    appliance.disk().empty();
    long(&stream, "video.m3u8", 12.0).await;
}
