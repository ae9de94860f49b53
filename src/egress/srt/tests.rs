use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::flow::{Feed, Node};
use crate::media::Kind;

/// Feeds with H.264 and AAC or Opus, as filled by a source.
struct Source {
    _node: Node,
    inputs: Inputs,
}

async fn source(audio: &str) -> Source {
    crate::init().expect("GStreamer starts");
    let node = Node::parse(
        "source",
        &format!(
            "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 \
             ! h264parse config-interval=-1 \
             ! video/x-h264,stream-format=byte-stream,alignment=au,profile=constrained-baseline \
             ! appsink name=video audiotestsrc is-live=true ! audioconvert ! {audio} \
             ! appsink name=audio"
        ),
    )
    .expect("installed elements");
    let feeds = Kind::ALL.map(|kind| Feed::new(kind.as_str(), kind));
    for feed in &feeds {
        node.output(feed.name(), &feed.sole_writer()).expect("an appsink");
    }
    node.start().await.expect("it starts");
    let [video, audio] = feeds;
    Source {
        _node: node,
        inputs: Inputs { video: Some(video), audio: Some(audio), ..Inputs::default() },
    }
}

const AAC: &str = "avenc_aac ! aacparse ! audio/mpeg,mpegversion=4,stream-format=raw";
const OPUS: &str = "audioresample ! opusenc ! opusparse";

/// A child process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command) -> Peer {
    let quiet = command.stdin(Stdio::null()).stderr(Stdio::null());
    Peer(quiet.spawn().expect("ffmpeg and srt-tools are installed"))
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").port()
}

fn file_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("received.ts")
}

/// Runs the push like its supervisor, with a retry after each failure, until `done`.
async fn push_until(task: &Task, inputs: &Inputs, url: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing arrives at {url}");
        let attempt = run(task.clone(), inputs.clone(), url);
        let ended = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            _ = attempt => {}
            () = ended => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |m| m.len())
}

/// Codec, size and channels of the streams in a file.
fn streams(file: &Path) -> String {
    let output = Command::new("ffprobe")
        .args(["-loglevel", "error", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=codec_name,width,height,channels"])
        .arg(file)
        .output()
        .expect("ffprobe is installed");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_receives_h264_and_aac_encrypted() {
    let source = source(AAC).await;
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let file = file_in(&folder);
    let listen = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=0123456789ab");
    let _peer = spawn(
        Command::new("ffmpeg")
            .args(["-loglevel", "error", "-probesize", "200000", "-i", &listen])
            .args(["-c", "copy", "-flush_packets", "1", "-f", "mpegts"])
            .arg(&file),
    );
    let task = Task::new("push.test");
    let url = format!("srt://127.0.0.1:{port}?passphrase=0123456789ab&pbkeylen=32&streamid=live/x");
    push_until(&task, &source.inputs, &url, || size(&file) > 150_000).await;
    let found = streams(&file);
    assert!(found.contains("h264,320,180") && found.contains("aac,"), "{found}");
    let shown = format!("{:?}", task.status.facts());
    assert!(task.status.is_running() && shown.contains("rtt_ms"), "{shown}");
    assert!(!shown.contains("0123456789ab") && !shown.contains("live/x"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_live_transmit_receives_opus_and_its_death_is_noticed() {
    let source = source(OPUS).await;
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let file = file_in(&folder);
    let listen = format!("srt://127.0.0.1:{port}?mode=listener");
    let listener = |file: &Path| {
        spawn(
            Command::new("srt-live-transmit")
                .args(["-q", &listen, "file://con"])
                .stdout(std::fs::File::create(file).expect("a file")),
        )
    };
    let peer = listener(&file);
    let url = format!("srt://127.0.0.1:{port}");
    let task = Task::new("push.test");
    let pushing = tokio::spawn({
        let (task, inputs, url) = (task.clone(), source.inputs.clone(), url.clone());
        async move {
            push_until(&task, &inputs, &url, || task.status.is_running()).await;
            run(task, inputs, &url).await
        }
    });
    let started = Instant::now();
    while size(&file) < 150_000 {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing arrives");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let found = streams(&file);
    assert!(found.contains("h264,320,180") && found.contains("opus,"), "{found}");
    drop(peer);
    let ended = tokio::time::timeout(Duration::from_secs(15), pushing).await;
    let error = ended.expect("it is noticed").expect("no panic").expect_err("nobody is there");
    assert_eq!(error.blame(), Blame::Destination, "{error}");
    // Which of the two depends on the progress of the peer when it was killed.
    let told =
        ["has ended", "cannot connect"].iter().any(|words| error.to_string().contains(words));
    assert!(told, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_target_is_said_in_time() {
    let source = source(AAC).await;
    let check = async |inputs: &Inputs, url: &str, blame: Blame, expect: &str| {
        let attempt = run(Task::new("push.test"), inputs.clone(), url);
        let ended = tokio::time::timeout(Duration::from_secs(12), attempt).await;
        let error = ended.expect("it does not hang").expect_err(url);
        assert_eq!(error.blame(), blame, "{error}");
        assert!(error.to_string().contains(expect), "{url}: {error}");
        assert!(!error.to_string().contains("topsecret"), "{error}");
    };
    let inputs = &source.inputs;
    let dead = format!("srt://127.0.0.1:{}?streamid=topsecret", free_port());
    check(inputs, &dead, Blame::Destination, "srt://127.0.0.1:").await;
    check(inputs, "srt://nowhere.invalid:9", Blame::Destination, "has no address").await;
    check(inputs, "srt://h:9?passphrase=topsecret", Blame::Us, "10-79").await;
    check(&Inputs::default(), "srt://127.0.0.1:9", Blame::Input, "no track").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_told_even_while_it_calls() {
    let source = source(AAC).await;
    let task = Task::new("push.test");
    let url = format!("srt://127.0.0.1:{}", free_port());
    let pushing = tokio::spawn({
        let (task, inputs) = (task.clone(), source.inputs.clone());
        async move { run(task, inputs, &url).await }
    });
    task.cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(2), pushing).await;
    ended.expect("at once").expect("no panic").expect("a good end");
}
