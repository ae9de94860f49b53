//! Pulled and generated sources, with real feeds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::file;
use super::source::tests::run_alone;
use crate::flow::{Error, Feed, Intake, Join, Node, SourceReport, Tracks};
use crate::media::{Codec, Kind, Protocol, Timeline};

struct Bench {
    video: Feed,
    audio: Feed,
    cancel: CancellationToken,
}

fn bench() -> (Bench, Intake) {
    crate::init().expect("GStreamer starts");
    let (video, audio) = (Feed::new("video", Kind::Video), Feed::new("audio", Kind::Audio));
    let timeline = Arc::new(Mutex::new(Timeline::default()));
    let tracks = Tracks::new(
        video.writer(Some(timeline.clone())),
        audio.writer(Some(timeline)),
        Arc::new(SourceReport::new(Protocol::Test, "here")),
        Default::default(),
    );
    tracks.video.activate();
    tracks.audio.activate();
    let cancel = CancellationToken::new();
    let intake = Intake {
        stream: "a".parse().expect("a name"),
        tracks,
        captions: Default::default(),
        cancel: cancel.clone(),
        on_drop: None,
    };
    (Bench { video, audio, cancel }, intake)
}

/// Waits until both feeds have carried this many buffers.
async fn until_buffers(bench: &Bench, video: u64, audio: u64) {
    let count = |feed: &Feed| feed.stats().buffers.load(Ordering::Relaxed);
    let wait = async {
        while count(&bench.video) < video || count(&bench.audio) < audio {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
        panic!("{} {}", count(&bench.video), count(&bench.audio))
    }
}

fn codec(feed: &Feed) -> Codec {
    feed.format().borrow().as_ref().expect("known").codec
}

/// Two seconds of H.264 with B-frames and AAC.
fn make_file(path: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"])
        .args(["-f", "lavfi", "-i", "sine=duration=2:sample_rate=48000", "-c:v", "libx264"])
        .args(["-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-y"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg runs");
    assert!(made.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_loops_without_a_gap_and_in_real_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clip.mp4");
    make_file(&path);
    let (bench, intake) = bench();
    let sink = Node::parse("sink", "appsrc name=in ! appsink name=out").expect("built");
    let times = Arc::new(Mutex::new(Vec::new()));
    let sink_element = sink.element("out").expect("there");
    let appsink = gst::prelude::Cast::downcast_ref::<gst_app::AppSink>(&sink_element);
    let seen = times.clone();
    appsink.expect("an appsink").set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let at = sample.buffer().and_then(|b| b.dts_or_pts());
                seen.lock().expect("not poisoned").extend(at);
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    gst::prelude::ObjectExt::set_property(&sink_element, "sync", false);
    sink.input("in", &bench.video, Join::Live).expect("joined");
    sink.start().await.expect("started");

    let started = std::time::Instant::now();
    let (task_path, cancel) = (path.clone(), bench.cancel.clone());
    let task = tokio::spawn(async move {
        let source = json!({ "type": "file", "path": task_path });
        run_alone(&source, intake, file::Config::default()).1.await
    });
    until_buffers(&bench, 130, 100).await;
    assert!(started.elapsed() > Duration::from_secs(4), "130 frames at 25 fps take 5 s");
    cancel.cancel();
    task.await.expect("no panic").expect("ends when cancelled");
    assert_eq!((codec(&bench.video), codec(&bench.audio)), (Codec::H264, Codec::Aac));
    assert!(bench.video.format().borrow().as_ref().expect("known").video.reorders);

    sink.stop().await.expect("stopped");
    let times = times.lock().expect("not poisoned");
    let steps = times.windows(2).map(|w| w[1].saturating_sub(w[0]).mseconds());
    let worst = steps.clone().max().expect("frames");
    assert!(worst <= 120, "no step over three frames, also between rounds: {worst} ms");
    assert!(times.is_sorted(), "decode times only grow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_there_or_not_media_says_so() {
    let (_bench, intake) = bench();
    let any = file::Config::default();
    let source = json!({ "type": "file", "path": "/nowhere/x.mp4" });
    let missing = run_alone(&source, intake, any.clone()).1.await;
    assert!(matches!(missing, Err(Error::Refused { .. })), "{missing:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, b"this is not a film").expect("written");
    let (_bench, intake) = self::bench();
    let source = json!({ "type": "file", "path": path });
    let (status, garbage) = run_alone(&source, intake, any);
    let garbage = garbage.await;
    assert!(!status.is_running(), "it is no media");
    let garbage = garbage.expect_err("text is no film").to_string();
    assert!(garbage.contains("no media file"), "{garbage}");
    let (_bench, intake) = self::bench();
    let elsewhere = file::Config { file_folders: vec!["/srv/media".into()] };
    let refused = run_alone(&source, intake, elsewhere).1.await;
    let refused = refused.expect_err("not in the folder").to_string();
    assert!(refused.contains("in no folder that sources may be in"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pattern_and_demo_flow_in_browser_codecs() {
    for kind in ["test", "demo"] {
        let (bench, intake) = bench();
        let task = tokio::spawn(async move {
            run_alone(&json!({ "type": kind }), intake, file::Config::default()).1.await
        });
        until_buffers(&bench, 20, 20).await;
        assert_eq!((codec(&bench.video), codec(&bench.audio)), (Codec::H264, Codec::Opus));
        assert!(!bench.video.format().borrow().as_ref().expect("known").video.reorders);
        bench.cancel.cancel();
        task.await.expect("no panic").expect("ends when cancelled");
    }
}
