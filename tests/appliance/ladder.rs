//! Qualities below the source: by HLS, by WebRTC, and changed while a viewer watches.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, output};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

/// Whether a node of the stream runs.
fn runs(stream: &Value, node: &str) -> bool {
    let nodes = stream["nodes"].as_array().into_iter().flatten();
    nodes.into_iter().any(|n| n["name"] == node && n["state"] == "running")
}

/// When the segments of a rendition begin, as its playlist says.
async fn starts(stream: &Stream, rendition: &str) -> BTreeSet<i64> {
    let token = stream.play_token();
    let path = format!("/hls/{}/{rendition}.m3u8?token={token}", stream.name);
    let list = stream.api.get(&path).await.expect("a playlist");
    assert_eq!(list.status, 200, "{rendition}: {}", list.text);
    let date = |line: &str| {
        let date = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")?;
        let date = chrono::DateTime::parse_from_rfc3339(date).expect("a date");
        // Rounding may differ by a millisecond.
        Some((date.timestamp_millis() + 5).div_euclid(10))
    };
    list.text.lines().filter_map(date).collect()
}

/// HLS lists the rungs below the source, encodes one when a player asks for it, and cuts it where the
/// source is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_get_rungs_that_are_cut_like_the_source() {
    let appliance = Appliance::start().await;
    let ladder = json!([{ "height": 720 }, { "height": 180, "kbps": 200 }]);
    let stream = appliance.api.create(json!({ "name": "rungs", "ladder": ladder })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    let live = stream.wait("it has rungs", s(30), |v| v["ladder"][0].is_object()).await;
    assert_eq!(live["ladder"], json!([{ "height": 180, "kbps": 200 }]), "720p is not below it");

    let master = eventually("the rungs are listed", s(30), || async {
        let path = format!("/hls/{}/index.m3u8?token={}", stream.name, stream.play_token());
        let master = stream.api.get(&path).await.map_err(|e| e.to_string())?;
        let listed = master.text.contains("RESOLUTION=320x180");
        if listed { Ok(master.text) } else { Err(master.text) }
    })
    .await;
    assert!(master.contains("video-180p.m3u8") && !master.contains("video-720p"), "{master}");
    assert!(master.contains("RESOLUTION=640x360"), "{master}");
    assert!(!runs(&stream.snapshot().await, "encode.video.h264.180p"), "listed is not played");

    let common = eventually("three segments begin together", s(60), || async {
        let (source, rung) = tokio::join!(starts(&stream, "video"), starts(&stream, "video-180p"));
        // The first one of the rung begins when it was asked for. The newest of the source may have
        // come after its playlist.
        let stray = rung.iter().skip(1).filter(|start| source.last() > Some(start));
        let stray = stray.filter(|start| !source.contains(start)).count();
        let common = rung.intersection(&source).count();
        assert_eq!(stray, 0, "{rung:?} beside {source:?}");
        if common >= 3 { Ok(common) } else { Err(format!("{rung:?} beside {source:?}")) }
    })
    .await;
    eprintln!("  {common} segments begin with those of the source");
    let url = stream.hls().replace("index.m3u8", "video-180p.m3u8");
    let args = ["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", &url];
    let (_, text) = output("ffprobe", &args, s(30)).await;
    assert!(text.contains("320,180"), "{text}");
    let url = stream.hls().replace("/hls/", "/dash/").replace("index.m3u8", "manifest.mpd");
    let args = ["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", &url];
    let (_, text) = output("ffprobe", &args, s(60)).await;
    assert!(text.contains("640,360") && text.contains("320,180"), "{text}");

    let mut player = Client::browser("hls", &[&stream.hls(), "--patience", "60"]);
    player.wait_for("playing", s(60)).await;
    let report = player.finish().await;
    assert!(!report["errors"].to_string().contains("fatal=true"), "{report}");
}

/// A viewer begins in a rung, goes to the source and back; its pictures go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_changes_its_quality_without_a_hole() {
    let appliance = Appliance::start().await;
    let ladder = json!([{ "height": 180, "kbps": 200 }]);
    let stream = appliance.api.create(json!({ "name": "quality", "ladder": ladder })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    stream.wait_state("live", s(30)).await;

    let (url, token) = (format!("{}?quality=180p", stream.whep()), stream.play_token());
    let args = [&*url, "--token", &token, "--quality", "source,99p,180p"];
    let mut viewer = Client::python("whep.py", &args);
    let offered = viewer.wait_for("quality", s(60)).await;
    assert_eq!(offered["playing"], "180p", "{offered}");
    assert_eq!(offered["qualities"][1], json!({ "name": "180p", "kbps": 200 }));
    viewer.wait_until("progress", s(60), |e| e["sizes"]["320x180"].as_u64() > Some(30)).await;
    assert!(runs(&stream.snapshot().await, "encode.video.h264.180p"));
    viewer.wait_until("quality", s(60), |e| e["playing"] == "source").await;
    viewer.wait_until("progress", s(60), |e| e["sizes"]["640x360"].as_u64() > Some(60)).await;
    let refused = viewer.wait_until("quality", s(60), |e| e["error"].is_string()).await;
    assert_eq!(refused["error"], "`99p` is not offered");
    let small = |e: &Value| e["sizes"]["320x180"].as_u64().unwrap_or_default();
    let before = small(&viewer.wait_for("progress", s(10)).await);
    viewer.wait_until("quality", s(60), |e| e["playing"] == "180p").await;
    viewer.wait_until("progress", s(60), |e| small(e) > before + 60).await;
    let report = viewer.finish().await;
    let video = &report["video"];
    eprintln!("  longest gap {} ms, steps back {}", video["max_gap_ms"], video["steps_back"]);
    // Without the old pictures until the key frame of the new ones it would be seconds.
    assert!(video["max_gap_ms"].as_f64() < Some(1000.0), "{video}");

    let missing = format!("{}?quality=480p", stream.whep());
    let answer = Client::python("whep.py", &[&missing, "--token", &token]).last_event(s(30)).await;
    assert!(answer.to_string().contains("has no quality `480p`"), "{answer}");
}

/// A player without data channels chooses by requests to the link of its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_changes_its_quality_by_requests() {
    let appliance = Appliance::start().await;
    let ladder = json!([{ "height": 180, "kbps": 200 }]);
    let stream = appliance.api.create(json!({ "name": "link", "ladder": ladder })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    stream.wait("it has rungs", s(30), |v| v["ladder"][0].is_object()).await;

    let (url, token) = (stream.whep(), stream.play_token());
    let args = [&*url, "--token", &token, "--by-link", "--quality", "99p,180p"];
    let mut viewer = Client::python("whep.py", &args);
    let offered = viewer.wait_for("quality", s(60)).await;
    assert_eq!(offered["playing"], "source", "{offered}");
    assert_eq!(offered["qualities"][1]["name"], "180p", "{offered}");
    let refused = viewer.wait_until("quality", s(60), |e| e["error"].is_string()).await;
    assert!(refused.to_string().contains("`99p` is not offered"), "{refused}");
    let chosen = viewer.wait_until("quality", s(60), |e| e["playing"] == "180p").await;
    assert_eq!(chosen["chosen"], "180p");
    viewer.wait_until("progress", s(60), |e| e["sizes"]["320x180"].as_u64() > Some(30)).await;
    viewer.finish().await;
}

/// A browser that chooses nothing begins with a picture that most lines carry, and gets the source once
/// its own line is known to carry that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_gets_what_its_line_carries() {
    let appliance = Appliance::start().await;
    let ladder = json!([{ "height": 180, "kbps": 200 }]);
    let stream = appliance.api.create(json!({ "name": "auto", "ladder": ladder })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &appliance.srt(&stream));
    stream.wait("it has rungs", s(30), |v| v["ladder"][0].is_object()).await;
    let args = [&*stream.whep(), "--token", &stream.play_token(), "--patience", "60"];
    let mut browser = Client::browser("whep", &args);
    browser.wait_for("playing", s(60)).await;
    browser.wait_until("progress", s(60), |e| e["size"] == "320x180").await;
    let large = browser.wait_until("progress", s(180), |e| e["size"] == "640x360").await;
    let path = format!("{}/viewers", stream.path());
    let list = appliance.api.must_get(&path).await;
    let estimate = list["viewers"][0]["estimate_kbps"].as_f64();
    eprintln!("  the source after {} pictures, at {estimate:?} kbit/s", large["decoded"]);
    assert!(estimate > Some(400.0), "{list}");
    browser.finish().await;
}
