use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{Format, Settings, Wav};
use super::*;
use crate::aic::container::{Part, Reader};
use crate::aic::engine::Codec;
use crate::egress::heard::{Heard, WEIGHTS_WAIT_MAX};
use crate::flow::{Feed, Node};
use crate::media::Kind;

/// Records until the task has written this many bytes, or fails.
async fn record(source: &str, settings: Settings, root: &Path, bytes: u64) -> Result<(), Error> {
    crate::init().expect("GStreamer starts");
    let source =
        format!("{source} ! audio/x-raw,format=S16LE,rate=48000,channels=2 ! appsink name=audio");
    let node = Node::parse("voice", &source).expect("elements are installed");
    let feed = Feed::new("audio", Kind::Audio);
    node.output("audio", &feed.sole_writer()).expect("an appsink");
    node.start().await.expect("starts");
    let inputs = Inputs { audio: Some(feed), ..Inputs::default() };
    let task = Task::new("record");
    let stream = "studio-1".parse().expect("a name");
    let root = root.to_owned();
    let running = tokio::spawn(super::super::run(task.clone(), stream, inputs, settings, root));
    let deadline = Instant::now() + Duration::from_secs(40);
    let written = || task.status.facts().get("bytes").and_then(serde_json::Value::as_u64);
    while written().unwrap_or(0) < bytes && !running.is_finished() {
        assert!(Instant::now() < deadline, "not enough in time: {:?}", task.status.facts());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    task.cancel.cancel();
    running.await.expect("no panic")
}

fn files(root: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root.join("studio-1")).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|e| e.expect("readable").path()).collect();
    files.sort();
    files
}

const NOISE: &str = "audiotestsrc is-live=true wave=pink-noise volume=0.1 ! audioconvert";

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_is_recorded_split_and_ended() {
    let root = tempfile::tempdir().expect("a folder");
    let settings =
        Settings { format: Format::Aic, split_s: 2, keep_free_mib: 0, ..Settings::default() };
    record(NOISE, settings, root.path(), 4_000).await.expect("records");
    let files = files(root.path());
    assert!(files.len() >= 2, "{files:?}");
    for (at, file) in files.iter().enumerate() {
        assert!(file.extension().is_some_and(|e| e == "aic"), "{files:?}");
        let mut reader = Reader::new(std::fs::File::open(file).expect("there")).expect("a file");
        let (samples, ended) = reader.end().expect("readable");
        assert!(ended, "{file:?}");
        let whole = at + 1 < files.len();
        assert!(!whole || (32_000..40_000).contains(&samples), "{file:?}: {samples}");
        reader.seek(0).expect("readable");
        let damaged = reader.filter(|p| matches!(p, Ok(Part::Damaged))).count();
        assert_eq!(damaged, 0, "{file:?}");
        let codec = Codec::shared();
        let mut wav = Wav::open(file, codec.loaded_with_id().expect("loaded")).expect("ours");
        let (mut sound, mut loud) = (wav.seek(0).expect("readable").split_off(44), 0_u64);
        while let Some(more) = wav.next_bytes().expect("readable") {
            sound.extend(more);
        }
        assert_eq!(sound.len() as u64, 2 * samples);
        for sample in sound.as_chunks::<2>().0 {
            loud += u64::from(i16::from_le_bytes(*sample).unsigned_abs() > 100);
        }
        assert!(loud > samples / 4, "{loud} of {samples}");
    }
}

/// Time without audio is silence of the same length, and a new file after a long one.
#[test]
fn silence_is_kept_in_time() {
    let root = tempfile::tempdir().expect("a folder");
    let codec = Codec::shared();
    codec.wait(WEIGHTS_WAIT_MAX).expect("weights in the program");
    let (begins, _begun) = super::super::sidecar::channel();
    let settings = Settings { format: Format::Aic, keep_free_mib: 0, ..Settings::default() };
    let status = Task::new("record").status;
    let output = Output { folder: root.path().to_owned(), settings, status, begins };
    crate::init().expect("GStreamer starts");
    let writer = Writer::new(output, codec.loaded_with_id().expect("loaded"), Arc::default());
    let (sender, receiver) = mpsc::sync_channel(64);
    // Half a second each: the second with jitter, the third after 3 s, the fourth after 20 s.
    for at_ms in [1_000, 1_510, 5_000, 25_500] {
        let samples = (0..8_000).map(|i| (i as f32 / 20.0).sin() * 0.3).collect();
        sender.send(Heard { at: Duration::from_millis(at_ms), samples }).expect("room");
    }
    drop(sender);
    writer.run(&receiver).expect("writes");
    let mut files: Vec<_> = std::fs::read_dir(root.path())
        .expect("there")
        .map(|e| e.expect("readable").path())
        .collect();
    files.sort();
    let lasts: Vec<u64> = files
        .iter()
        .map(|file| {
            let mut reader = Reader::new(std::fs::File::open(file).expect("there")).expect("ours");
            reader.end().expect("readable").0
        })
        .collect();
    assert_eq!(lasts, [64_000 + 8_000, 8_000]);
    let mut wav = Wav::open(&files[0], codec.loaded_with_id().expect("loaded")).expect("ours");
    let mut sound = wav.seek(0).expect("readable").split_off(44);
    while let Some(more) = wav.next_bytes().expect("readable") {
        sound.extend(more);
    }
    let power = |from: usize, until: usize| {
        let samples = sound[2 * from..2 * until].as_chunks::<2>().0;
        samples.iter().map(|s| f64::from(i16::from_le_bytes(*s)).powi(2)).sum::<f64>()
    };
    assert!(power(2_000, 16_000) > 1e6 && power(66_000, 72_000) > 1e6);
    assert!(power(18_000, 62_000) < 1e3, "{}", power(18_000, 62_000));
}
