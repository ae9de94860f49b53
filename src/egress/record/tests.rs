use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::flow::{Blame, Feed};

const PICTURES: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
     ! x264enc key-int-max=30 bframes=2 b-adapt=false speed-preset=ultrafast \
     ! video/x-h264,profile=main ! h264parse config-interval=-1 \
     ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=video ";
const VP8: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
     ! vp8enc deadline=1 keyframe-max-dist=30 ! appsink name=video ";
const VP9: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=90,framerate=15/1 \
     ! vp9enc deadline=1 cpu-used=8 keyframe-max-dist=15 ! vp9parse ! video/x-vp9,alignment=frame \
     ! appsink name=video ";
const AV1: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=90,framerate=15/1 \
     ! av1enc cpu-used=8 usage-profile=realtime keyframe-max-dist=15 ! av1parse \
     ! video/x-av1,stream-format=obu-stream,alignment=tu ! appsink name=video ";
const H265: &str = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
     ! x265enc speed-preset=ultrafast key-int-max=15 ! h265parse config-interval=-1 \
     ! video/x-h265,stream-format=byte-stream,alignment=au ! appsink name=video ";
const SOUND: &str = "audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 \
     ! avenc_aac ! aacparse ! audio/mpeg,stream-format=raw ! appsink name=audio";
const OPUS: &str = "audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 \
     ! opusenc ! opusparse ! appsink name=audio";

/// A running test pattern and its feeds.
async fn pattern(sources: &str) -> (Node, Inputs) {
    crate::init().expect("GStreamer starts");
    let node = Node::parse("pattern", sources).expect("elements are installed");
    let mut inputs = Inputs::default();
    for (kind, slot) in [(Kind::Video, &mut inputs.video), (Kind::Audio, &mut inputs.audio)] {
        if sources.contains(&format!("name={kind}")) {
            let feed = slot.insert(Feed::new(kind.as_str(), kind));
            node.output(kind.as_str(), &feed.sole_writer()).expect("an appsink");
        }
    }
    node.start().await.expect("the pattern starts");
    (node, inputs)
}

fn stream() -> StreamName {
    "studio-1".parse().expect("a name")
}

/// Records until `enough` returns true, at most 40 s.
async fn record(
    sources: &str,
    settings: Settings,
    root: &Path,
    enough: impl Fn(&Task) -> bool,
) -> Result<(), Error> {
    let (_pattern, inputs) = pattern(sources).await;
    let task = Task::new("record");
    let running = tokio::spawn(run(task.clone(), stream(), inputs, settings, root.to_owned()));
    let deadline = Instant::now() + Duration::from_secs(40);
    while !enough(&task) && !running.is_finished() {
        assert!(Instant::now() < deadline, "not enough in time: {:?}", task.status.facts());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    task.cancel.cancel();
    let begun = Instant::now();
    let result = running.await.expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(5), "ends in time");
    result
}

fn fact(task: &Task, name: &str) -> u64 {
    task.status.facts().get(name).and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// Recordings in the stream's folder, oldest first.
fn files(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("studio-1")).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|e| e.expect("readable").path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "mp4"));
    files.sort();
    files
}

/// `(codec, pts of each packet)` of the streams in a file, read by ffprobe without a warning.
fn probe(file: &Path) -> Vec<(String, Vec<f64>)> {
    let run = |arguments: &[&str]| {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv=p=0"])
            .args(arguments)
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .expect("ffprobe is installed");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{}: {errors}", file.display());
        String::from_utf8(output.stdout).expect("text")
    };
    let codecs = run(&["-show_entries", "stream=codec_name"]);
    let packets = run(&["-show_entries", "packet=stream_index,pts_time"]);
    let mut streams: Vec<(String, Vec<f64>)> =
        codecs.lines().map(|c| (c.trim_end_matches(',').to_owned(), Vec::new())).collect();
    for line in packets.lines() {
        let (index, pts) = line.split_once(',').expect("two fields");
        let index: usize = index.parse().expect("a number");
        streams[index].1.push(pts.trim_end_matches(',').parse().expect("a time"));
    }
    streams.iter_mut().for_each(|(_, pts)| pts.sort_by(f64::total_cmp));
    streams
}

fn gapless(pts: &[f64], step: f64) {
    let worst = pts.windows(2).map(|w| (w[1] - w[0] - step).abs()).fold(0.0, f64::max);
    assert!(worst < 0.015, "steps of {step} with a deviation of {worst}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_complete_and_in_sync() {
    let root = tempfile::tempdir().expect("a folder");
    let sources = format!("{PICTURES} {SOUND}");
    let begun = Instant::now();
    let long = |_: &Task| begun.elapsed() > Duration::from_secs(6);
    record(&sources, Settings::default(), root.path(), long).await.expect("records");
    let files = files(root.path());
    assert_eq!(files.len(), 1);
    let streams = probe(&files[0]);
    assert_eq!((streams[0].0.as_str(), streams[1].0.as_str()), ("h264", "aac"));
    // The recording may end between a frame and those decoded after but presented before it.
    gapless(&streams[0].1[..streams[0].1.len() - 4], 1.0 / 30.0);
    gapless(&streams[1].1, 1024.0 / 48_000.0);
    let (video, audio) = (&streams[0].1, &streams[1].1);
    assert!(video[0] < 1.2 && audio[0] < 1.2, "{} {}", video[0], audio[0]);
    let ends = (video[video.len() - 1], audio[audio.len() - 1]);
    assert!((ends.0 - ends.1).abs() < 1.0, "{ends:?}");
    assert!(video[video.len() - 1] > 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_split_at_key_frames_without_losing_anything() {
    let root = tempfile::tempdir().expect("a folder");
    let settings = Settings { split_s: 2, ..Settings::default() };
    let sources = format!("{PICTURES} {SOUND}");
    record(&sources, settings, root.path(), |task| fact(task, "files") >= 4)
        .await
        .expect("records");
    let streams: Vec<_> = files(root.path()).iter().map(|f| probe(f)).collect();
    for file in &streams[..3] {
        assert!((1.9..2.2).contains(&(file[0].1.len() as f64 / 30.0)), "{}", file[0].1.len());
        assert!(file[0].1[0] < 0.2, "pictures begin at the start: {}", file[0].1[0]);
    }
    let count = |track: usize| streams[..3].iter().map(|f| f[track].1.len()).sum::<usize>() as f64;
    let difference = count(0) / 30.0 - count(1) * 1024.0 / 48_000.0;
    assert!(difference.abs() < 0.8, "as much sound as pictures: {difference}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_recorded_as_it_is() {
    for (sources, video, audio) in [
        (format!("{VP8} {OPUS}"), Some("vp8"), Some("opus")),
        (VP9.to_owned(), Some("vp9"), None),
        (AV1.to_owned(), Some("av1"), None),
        (H265.to_owned(), Some("hevc"), None),
        (SOUND.to_owned(), None, Some("aac")),
    ] {
        let root = tempfile::tempdir().expect("a folder");
        let enough = |task: &Task| fact(task, "bytes") > 8_000;
        record(&sources, Settings::default(), root.path(), enough).await.expect("records");
        let streams = probe(&files(root.path())[0]);
        let codecs: Vec<_> = streams.iter().map(|(codec, _)| codec.as_str()).collect();
        let expect: Vec<_> = video.into_iter().chain(audio).collect();
        assert_eq!(codecs, expect);
        assert!(streams.iter().all(|(_, pts)| pts.len() > 5), "{codecs:?}");
    }
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs until it is killed"]
async fn child_records_until_it_is_killed() {
    let Ok(root) = std::env::var("AURALINK_TEST_RECORD_INTO") else { return };
    let sources = format!("{PICTURES} {SOUND}");
    let _ = record(&sources, Settings::default(), Path::new(&root), |_| false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_costs_no_more_than_the_last_second() {
    let root = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "egress::record::tests::child_records_until_it_is_killed", "--ignored"])
        .env("AURALINK_TEST_RECORD_INTO", root.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    let large = |root: &Path| {
        root.join("studio-1").exists()
            && files(root).first().is_some_and(|f| f.metadata().is_ok_and(|m| m.len() > 700_000))
    };
    while !large(root.path()) {
        assert!(Instant::now() < deadline, "nothing is recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let killed_at = chrono::Utc::now();
    child.kill().expect("SIGKILL");
    child.wait().expect("gone");
    let file = &files(root.path())[0];
    let streams = probe(file);
    let name = file.file_stem().and_then(|n| n.to_str()).expect("our name");
    let started = file::start_of(name).expect("a time");
    let last = streams[0].1.last().expect("pictures") - streams[0].1[0];
    let lost = (killed_at - started).as_seconds_f64() - last;
    eprintln!("recorded {last:.2} s of pictures, lost {lost:.2} s");
    assert!(last > 1.0 && lost < 1.5, "recorded {last} s, lost {lost} s");
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-i"]).arg(file).args(["-f", "null", "-"]);
    let output = decode.output().expect("ffmpeg is installed");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_recordings_go_when_the_budget_is_used_up() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("studio-1");
    std::fs::create_dir(&folder).expect("created");
    for name in ["2020-01-01T00-00-00.000Z.mp4", "2020-01-02T00-00-00.000Z.mp4", "holiday.mp4"] {
        std::fs::write(folder.join(name), vec![0; 700 << 10]).expect("written");
    }
    std::fs::write(folder.join("2020-01-01T00-00-00.000Z.jpg"), "x").expect("written");
    let settings = Settings { keep_mib: 1, keep_free_mib: 0, ..Settings::default() };
    let enough = |task: &Task| fact(task, "bytes") > 20_000;
    record(SOUND, settings, root.path(), enough).await.expect("records");
    let left: Vec<_> = files(root.path());
    assert_eq!(left.len(), 3, "the oldest is gone, what is not ours stays: {left:?}");
    assert!(!folder.join("2020-01-01T00-00-00.000Z.mp4").exists());
    assert!(!folder.join("2020-01-01T00-00-00.000Z.jpg").exists());
}

fn destination(error: Error, words: &str) {
    assert_eq!(error.blame(), Blame::Destination, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refuses_is_said_clearly() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::write(root.path().join("studio-1"), "a file where a folder should be").expect("ok");
    let error = record(SOUND, Settings::default(), root.path(), |_| false).await;
    destination(error.expect_err("cannot"), "cannot create");

    let root = tempfile::tempdir().expect("a folder");
    let settings = Settings { keep_free_mib: u32::MAX, ..Settings::default() };
    let error = record(SOUND, settings, root.path(), |_| false).await;
    destination(error.expect_err("cannot"), "are to stay free");
    assert!(files(root.path()).is_empty(), "nothing is begun on a full disk");
}

/// A disk that fills up during a recording: the written part stays playable.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_recording_and_keeps_what_is_there() {
    let root = tempfile::tempdir().expect("a folder");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=768k", "tmpfs"])
        .arg(root.path())
        .output()
        .expect("mount is installed");
    if !mount.status.success() {
        crate::needs::skip("root, to mount a small file system");
        return;
    }
    let settings = Settings { keep_free_mib: 0, ..Settings::default() };
    let sources = format!("{PICTURES} {SOUND}");
    let error = record(&sources, settings, root.path(), |_| false).await;
    let streams = probe(&files(root.path())[0]);
    let unmounted = Command::new("umount").arg(root.path()).status().expect("runs");
    destination(error.expect_err("cannot"), "No space left");
    assert!(streams[0].1.len() > 30, "{} pictures are left", streams[0].1.len());
    assert!(unmounted.success());
}
