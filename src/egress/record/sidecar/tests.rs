use std::sync::Arc;

use super::*;
use crate::flow::CueFeed;
use crate::media::{Origin, Stage};

fn cue(id: u64, at_ms: u64, text: &str) -> Cue {
    Cue {
        id,
        language: Language::english(),
        stage: Stage::Committed,
        start: Duration::from_millis(at_ms),
        end: Duration::from_millis(at_ms + 1000),
        text: text.into(),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

#[tokio::test]
async fn cues_lie_beside_the_recording_in_which_they_begin() {
    crate::init().expect("GStreamer starts");
    let folder = tempfile::tempdir().expect("a folder");
    let stem = |name: &str| folder.path().join(name);
    let names = ["2026-11-23T16-03-16.250Z", "2026-11-23T16-04-16.250Z"];
    let (caption_feeds, (tell, heard)) = (CaptionFeeds::default(), channel());
    let feed = CueFeed::new("captions.en", Language::english());
    caption_feeds.set(vec![feed.clone()]);
    let status = Status::default();
    let writing = tokio::spawn(write(caption_feeds, heard, status.clone()));
    while feed.readers() == 0 {
        tokio::task::yield_now().await;
    }
    for (n, name) in names.iter().enumerate() {
        std::fs::write(stem(&format!("{name}.mp4")), "x").expect("written");
        let base = Duration::from_secs(10 + 60 * n as u64);
        tell.send(Begun { stem: stem(name), base }).await.expect("heard");
    }
    while tell.capacity() < BEGUN_RECORDINGS_MAX {
        tokio::task::yield_now().await;
    }
    feed.publish(cue(1, 12_000, "in the first"));
    feed.publish(cue(2, 69_500, "begins in the first"));
    feed.publish(cue(3, 71_000, "in the second"));
    feed.publish(cue(4, 5_000, "before both"));
    while status.facts().get("captions").and_then(serde_json::Value::as_u64) != Some(3) {
        tokio::task::yield_now().await;
    }
    drop(tell);
    writing.await.expect("it ends by itself");
    let read = |name: &str, ending: &str| {
        let path = path(folder.path(), name, &Language::english(), ending);
        std::fs::read_to_string(path).expect("there")
    };
    assert_eq!(
        read(names[0], "srt"),
        "1\n00:00:02,000 --> 00:00:03,000\nin the first\n\n\
         2\n00:00:59,500 --> 00:01:00,500\nbegins in the first\n\n"
    );
    assert!(read(names[1], "vtt").starts_with("WEBVTT\n\n3\n00:00:01.000 --> "));
    let json: serde_json::Value = serde_json::from_str(&read(names[1], "json")).expect("JSON");
    assert_eq!((&json["cues"][0]["start"], &json["cues"][1]), (&1.0.into(), &().into()), "{json}");
    for ending in ["vtt", "srt"] {
        let path = path(folder.path(), names[0], &Language::english(), ending);
        assert_eq!(times_in(&path), ["2.000000", "59.500000"], "as ffmpeg reads it");
    }
    let endings: Vec<_> = of(folder.path(), names[1]).into_iter().map(|(_, e)| e).collect();
    assert_eq!(endings, ["json", "srt", "vtt"]);
}

/// Start time of each text in a file, as read by ffmpeg.
fn times_in(path: &Path) -> Vec<String> {
    let output = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe is installed");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let times = text.lines().map(|line| line.trim_end_matches(',').to_owned());
    times.filter(|time| !time.is_empty()).collect()
}

/// A sidecar writer with one recording in a folder, which begins at ten seconds.
fn sidecar_writer(folder: &Path) -> SidecarWriter {
    let stem = folder.join("2026-11-23T16-03-16.250Z");
    std::fs::write(with_ending(&stem, "mp4"), "x").expect("written");
    let mut sidecar_writer = SidecarWriter::default();
    sidecar_writer.begin(Begun { stem, base: Duration::from_secs(10) });
    sidecar_writer
}

fn read(folder: &Path, ending: &str) -> String {
    let path = path(folder, "2026-11-23T16-03-16.250Z", &Language::english(), ending);
    std::fs::read_to_string(path).expect("there")
}

#[test]
fn what_straddles_the_beginning_is_in_it_and_what_comes_after_the_end_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut sidecar_writer, english) = (sidecar_writer(folder.path()), Language::english());
    sidecar_writer.keep(&english, &cue(1, 8_000, "before")).expect("kept");
    sidecar_writer.keep(&english, &cue(2, 9_500, "half in it")).expect("kept");
    sidecar_writer.ended_at = Some(Duration::from_secs(20));
    sidecar_writer.keep(&english, &cue(3, 19_500, "comes late")).expect("kept");
    sidecar_writer.keep(&english, &cue(4, 20_000, "after")).expect("kept");
    let expect = "1\n00:00:00,000 --> 00:00:00,500\nhalf in it\n\n\
                  2\n00:00:09,500 --> 00:00:10,500\ncomes late\n\n";
    assert_eq!(read(folder.path(), "srt"), expect);
}

/// The file on disk is complete at any moment, even if the disk is full.
#[test]
fn a_full_disk_costs_whole_captions_only() {
    let root = tempfile::tempdir().expect("a folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(root.path())
        .output()
        .expect("mount is installed");
    if !mounted.status.success() {
        crate::needs::skip("root, to mount a small file system");
        return;
    }
    let (mut sidecar_writer, english) = (sidecar_writer(root.path()), Language::english());
    let text = "words ".repeat(40);
    let mut refused = 0;
    let mut all_whole = true;
    for id in 1..300 {
        let kept = sidecar_writer.keep(&english, &cue(id, 10_000 + id * 1000, &text));
        refused += u64::from(kept.is_err());
        let json = serde_json::from_str::<serde_json::Value>(&read(root.path(), "json")).is_ok();
        let ends = |ending| read(root.path(), ending).ends_with("\n\n");
        all_whole &= json && ends("vtt") && ends("srt");
    }
    drop(sidecar_writer);
    let unmounted = std::process::Command::new("umount").arg(root.path()).status().expect("runs");
    eprintln!("{refused} of 299 captions did not fit");
    assert!(refused > 10 && refused < 299 && all_whole, "{refused} refused, whole: {all_whole}");
    assert!(unmounted.success());
}
