//! Shared by the tests: a gate with observable feeds, media files, and peers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::{Config, Error, Server};
use crate::flow::{
    self, AccessRequest, Action, Admission, Feed, Gate, Inputs, Intake, Join, Node, Refusal,
    RefusalKind, SourceReport, Subscription, Tracks,
};
use crate::media::{Accepts, Kind, Secret};

/// One stream behind the test gate.
pub(super) struct Stream {
    pub(super) token: Option<&'static str>,
    pub(super) passphrase: Option<&'static str>,
    pub(super) video: Feed,
    pub(super) audio: Feed,
    pub(super) taken: AtomicBool,
    pub(super) published: AtomicU32,
    pub(super) played: AtomicU32,
    pub(super) report: Mutex<Option<Arc<SourceReport>>>,
    pub(super) cancel: Mutex<CancellationToken>,
}

/// A gate over a fixed set of streams that records its refusals.
#[derive(Default)]
pub(super) struct TestGate {
    streams: HashMap<String, Arc<Stream>>,
    pub(super) refused: Mutex<Vec<(String, RefusalKind, String)>>,
}

impl TestGate {
    pub(super) fn with(
        mut self,
        name: &str,
        token: Option<&'static str>,
        passphrase: Option<&'static str>,
    ) -> Self {
        let stream = Stream {
            token,
            passphrase,
            video: Feed::new("video", Kind::Video),
            audio: Feed::new("audio", Kind::Audio),
            taken: AtomicBool::new(false),
            published: AtomicU32::new(0),
            played: AtomicU32::new(0),
            report: Mutex::default(),
            cancel: Mutex::default(),
        };
        self.streams.insert(name.into(), Arc::new(stream));
        self
    }

    pub(super) fn stream(&self, name: &str) -> Arc<Stream> {
        self.streams.get(name).expect("a stream of the test").clone()
    }

    pub(super) fn refusals(&self) -> Vec<(String, RefusalKind, String)> {
        self.refused.lock().expect("lock").clone()
    }

    fn judge(&self, access_request: &AccessRequest) -> Result<Arc<Stream>, Refusal> {
        let refusal = |kind| Refusal::new(kind, format!("{kind:?}"), "nothing to do");
        let stream = self.streams.get(access_request.stream.as_str());
        let stream = stream.ok_or_else(|| refusal(RefusalKind::UnknownStream))?;
        let shown = access_request.credential.as_ref().map_or("", Secret::expose);
        if stream.token.is_some_and(|token| token != shown) {
            return Err(refusal(RefusalKind::Unauthorized));
        }
        if access_request.action == Action::Publish && stream.taken.load(Ordering::SeqCst) {
            return Err(refusal(RefusalKind::Taken));
        }
        Ok(stream.clone())
    }
}

impl Gate for TestGate {
    fn admit(&self, access_request: &AccessRequest) -> Result<Admission, Refusal> {
        let stream =
            self.judge(access_request).inspect_err(|r| self.report_refusal(access_request, r))?;
        Ok(Admission { passphrase: stream.passphrase.map(Secret::new) })
    }

    fn publish(
        &self,
        access_request: AccessRequest,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let result = self.judge(&access_request).map(|stream| {
            let timeline = Some(Arc::default());
            let writer = |feed: &Feed| {
                let writer = feed.writer(timeline.clone());
                writer.activate();
                writer
            };
            let cancel = CancellationToken::new();
            stream.taken.store(true, Ordering::SeqCst);
            stream.published.fetch_add(1, Ordering::SeqCst);
            *stream.report.lock().expect("lock") = Some(report.clone());
            *stream.cancel.lock().expect("lock") = cancel.clone();
            let (video, audio) = (writer(&stream.video), writer(&stream.audio));
            let on_drop = move || {
                stream.video.clear();
                stream.audio.clear();
                stream.taken.store(false, Ordering::SeqCst);
            };
            Intake {
                stream: access_request.stream,
                tracks: Tracks::new(video, audio, report, Default::default()),
                captions: Default::default(),
                cancel,
                on_drop: Some(Box::new(on_drop)),
            }
        });
        async { result }.boxed()
    }

    fn play(
        &self,
        access_request: AccessRequest,
        _: Accepts,
    ) -> BoxFuture<'static, Result<Subscription, Refusal>> {
        let result = self.judge(&access_request).map(|stream| {
            let feeds = Inputs {
                video: Some(stream.video.clone()),
                audio: Some(stream.audio.clone()),
                ..Inputs::default()
            };
            stream.played.fetch_add(1, Ordering::SeqCst);
            let (sender, inputs) = watch::channel(feeds);
            let on_drop = move || {
                stream.played.fetch_sub(1, Ordering::SeqCst);
                drop(sender);
            };
            Subscription {
                stream: access_request.stream,
                inputs,
                qualities: crate::flow::Qualities::default(),
                cancel: CancellationToken::new(),
                on_drop: Some(Box::new(on_drop)),
            }
        });
        async { result }.boxed()
    }

    fn report_refusal(&self, access_request: &AccessRequest, refusal: &Refusal) {
        let entry = (access_request.stream.to_string(), refusal.kind, refusal.message.clone());
        self.refused.lock().expect("lock").push(entry);
    }
}

/// A server on a free local port; stops when dropped.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) gate: Arc<TestGate>,
    pub(super) cancel: CancellationToken,
    pub(super) task: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(super) fn url(&self, query: &str) -> String {
        format!("srt://{}?{query}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(super) fn serve(gate: TestGate) -> Running {
    serve_with(gate, Config::default())
}

pub(super) fn serve_with(gate: TestGate, config: Config) -> Running {
    crate::init().expect("GStreamer starts");
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..config };
    let server = Server::bind(config).expect("a free port");
    let (gate, cancel) = (Arc::new(gate), CancellationToken::new());
    let address = server.local_address().expect("bound");
    let task = tokio::spawn(server.run(gate.clone(), cancel.clone()));
    Running { address, gate, cancel, task }
}

/// Polls until `done` returns true, at most `seconds`.
pub(super) async fn until(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(seconds), "waited {seconds} s for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A child process that is killed when dropped.
pub(super) struct Peer(pub(super) Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Peer {
    pub(super) fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

pub(super) fn ffmpeg(args: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Publishes a file in real time.
pub(super) fn publish(file: &Path, url: &str) -> Peer {
    let file = file.to_str().expect("a plain path");
    let mut command = ffmpeg(&["-re", "-i", file, "-c", "copy", "-f", "mpegts", url]);
    Peer(command.spawn().expect("ffmpeg is installed"))
}

/// The same in an endless loop.
pub(super) fn publish_forever(file: &Path, url: &str) -> Peer {
    let file = file.to_str().expect("a plain path");
    let looped = ["-re", "-stream_loop", "-1", "-i", file, "-c", "copy", "-f", "mpegts", url];
    Peer(ffmpeg(&looped).spawn().expect("ffmpeg is installed"))
}

/// Duration of the media files, in seconds.
pub(super) const MEDIA_S: u32 = 6;

/// H.264 with B-frames and AAC, six seconds at 30 fps, as MPEG-TS.
pub(super) fn h264_aac() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        encode("h264_aac", "libx264 -preset ultrafast -bf 2 -g 30 -b:v 800k", "aac -b:a 96k")
    })
}

/// H.265 and Opus. The version of its tables differs, as required when the program changes.
pub(super) fn h265_opus() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        encode(
            "h265_opus",
            "libx265 -preset ultrafast -x265-params log-level=none:keyint=30",
            "libopus -tables_version 3",
        )
    })
}

/// H.264 and MP2.
pub(super) fn h264_mp2() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| encode("h264_mp2", "libx264 -preset ultrafast -bf 0 -g 30", "mp2"))
}

fn encode(name: &str, video: &str, audio: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("auralink-srt-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let file = folder.join(format!("{name}.ts"));
    let arguments = format!(
        "-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 \
         -t {MEDIA_S} -pix_fmt yuv420p -c:v {video} -c:a {audio} -ac 2 -f mpegts"
    );
    let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
    arguments.push(file.to_str().expect("a plain path"));
    let status = ffmpeg(&arguments).status().expect("ffmpeg is installed");
    assert!(status.success(), "ffmpeg encodes {name}");
    file
}

/// Timestamps seen by a consumer of a feed, in milliseconds: (PTS, DTS or PTS, arrival).
pub(super) struct Probe {
    _node: Node,
    pub(super) seen: Arc<Mutex<Vec<(u64, u64, u64)>>>,
}

impl Probe {
    pub(super) async fn on(feed: &Feed) -> Self {
        let node = Node::parse("probe", "appsrc name=in ! appsink name=out sync=false async=false")
            .expect("plain elements");
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let sink = node.element("out").expect("it has one");
        let sink = gst::prelude::Cast::downcast::<gst_app::AppSink>(sink).expect("an appsink");
        let into = seen.clone();
        let on_sample = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
            let ms = |t: Option<gst::ClockTime>| t.map_or(0, gst::ClockTime::mseconds);
            let entry = (ms(buffer.pts()), ms(buffer.dts_or_pts()), flow::now().mseconds());
            into.lock().expect("lock").push(entry);
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
        node.input("in", feed, Join::Live).expect("it has one");
        node.start().await.expect("it starts");
        Self { _node: node, seen }
    }
}

/// Presentation times of the frames of a file, in decode order, in milliseconds after the first.
pub(super) fn frame_times(file: &Path) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args(["-loglevel", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts_time"])
        .arg(file)
        .output()
        .expect("ffprobe is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    let times: Vec<i64> = text
        .lines()
        .filter_map(|line| line.split(',').next()?.parse::<f64>().ok())
        .map(|seconds| (seconds * 1e3).round() as i64)
        .collect();
    times.iter().map(|t| t - times[0]).collect()
}
