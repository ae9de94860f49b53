//! WHIP and WHEP on their own: `cargo run --example webrtc -- 8085 vp8`.
//!
//! `/whep/pattern` plays a test pattern with a tone; what is published to `/whip/NAME` is played
//! at `/whep/NAME`. `/figures` tells threads, files, memory and CPU time of the process. For trying
//! players and publishers against the appliance's WebRTC without the rest of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use auralink::control::api::webrtc::{WebRtc, router};
use auralink::flow::{
    self, Admission, Feed, Gate, Hello, Inputs, Intake, Node, Refusal, RefusalKind, Seat,
    SourceReport, Tracks,
};
use auralink::media::{Accepts, Kind, Timeline};
use auralink::webrtc::Config;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Streams that exist as soon as somebody names them, and let everybody in.
#[derive(Clone, Default)]
struct OpenGate(Arc<Mutex<HashMap<String, Stream>>>);

#[derive(Clone)]
struct Stream {
    video: Feed,
    audio: Feed,
    report: Arc<Mutex<Option<Arc<SourceReport>>>>,
}

impl OpenGate {
    fn stream(&self, name: &str) -> Stream {
        let new = || Stream {
            video: Feed::new("video", Kind::Video),
            audio: Feed::new("audio", Kind::Audio),
            report: Arc::default(),
        };
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(name.to_owned()).or_insert_with(new).clone()
    }

    fn figures(&self) -> serde_json::Value {
        let streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |stream: &Stream| {
            let text = |feed: &Feed| feed.format().borrow().as_ref().map(ToString::to_string);
            let report = stream.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
            serde_json::json!({
                "video": text(&stream.video), "audio": text(&stream.audio),
                "video_buffers": stream.video.stats().buffers, "links": stream.video.links().len(),
                "keyframes": stream.video.stats().keyframes,
                "source": report.map(|r| format!("{r:?}")),
            })
        };
        let streams: HashMap<_, _> =
            streams.iter().map(|(name, s)| (name.clone(), of(s))).collect();
        serde_json::json!({ "process": process(), "streams": streams })
    }
}

impl Gate for OpenGate {
    fn admit(&self, _: &Hello) -> Result<Admission, Refusal> {
        Ok(Admission::default())
    }

    fn publish(
        &self,
        hello: Hello,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let stream = self.stream(hello.stream.as_str());
        *stream.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        let video = stream.video.writer(Some(timeline.clone()));
        let audio = stream.audio.writer(Some(timeline));
        video.activate();
        audio.activate();
        let left = stream.clone();
        let intake = Intake {
            stream: hello.stream,
            tracks: Tracks { video, audio, report },
            captions: Default::default(),
            cancel: CancellationToken::new(),
            on_drop: Some(Box::new(move || {
                left.video.clear();
                left.audio.clear();
            })),
        };
        Box::pin(async move { Ok(intake) })
    }

    fn play(&self, hello: Hello, accepts: Accepts) -> BoxFuture<'static, Result<Seat, Refusal>> {
        let stream = self.stream(hello.stream.as_str());
        Box::pin(async move {
            let fits = |feed: &Feed| {
                let format = feed.format();
                let format = format.borrow();
                let accept = accepts.of(feed.kind());
                format.as_ref().is_some_and(|f| accept.is_some_and(|a| a.objection(f).is_none()))
            };
            let inputs = Inputs {
                video: Some(stream.video.clone()).filter(fits),
                audio: Some(stream.audio.clone()).filter(fits),
                ..Inputs::default()
            };
            if inputs.video.is_none() && inputs.audio.is_none() {
                let hint = "publish to /whip/NAME first";
                return Err(Refusal::new(RefusalKind::NotLive, "nothing that fits is live", hint));
            }
            let (keep, inputs) = watch::channel(inputs);
            let on_drop: Box<dyn FnOnce() + Send + Sync> = Box::new(move || drop(keep));
            let cancel = CancellationToken::new();
            Ok(Seat { stream: hello.stream, inputs, cancel, on_drop: Some(on_drop) })
        })
    }
}

fn process() -> serde_json::Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let times: Vec<i64> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .filter_map(|w| w.parse::<i64>().ok())
        .collect();
    let fds = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    serde_json::json!({
        "threads": field("Threads:"), "rss_kib": field("VmRSS:"), "fds": fds,
        "cpu_ticks": times.get(10).zip(times.get(11)).map(|(user, system)| user + system),
    })
}

fn pattern(codec: &str) -> anyhow::Result<Node> {
    let encoder = match codec {
        "vp8" => "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=2000000",
        "vp9" => "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=2000000",
        "h264" => {
            "x264enc tune=zerolatency speed-preset=ultrafast bframes=0 key-int-max=60 bitrate=2000 \
             ! video/x-h264,profile=constrained-baseline \
             ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
        }
        other => anyhow::bail!("unknown codec {other}: vp8 vp9 h264"),
    };
    let node = Node::parse(
        "pattern",
        &format!(
            "videotestsrc is-live=true pattern=smpte ! video/x-raw,width=1280,height=720,framerate=30/1 \
             ! timeoverlay ! {encoder} ! appsink name=video \
             audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 ! opusenc \
             ! appsink name=audio"
        ),
    )?;
    Ok(node)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("auralink=debug,info").init();
    flow::init()?;
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_else(|| "8085".into()).parse()?;
    let codec = arguments.next().unwrap_or_else(|| "vp8".into());
    let gate = OpenGate::default();
    let stream = gate.stream("pattern");
    let node = pattern(&codec)?;
    node.output("video", &stream.video.sole_writer())?;
    node.output("audio", &stream.audio.sole_writer())?;
    node.start().await?;
    let webrtc = WebRtc::new(Arc::new(gate.clone()), Config::default());
    let registry = webrtc.registry().clone();
    let app = router(webrtc)
        .route("/figures", axum::routing::get(move || async move { axum::Json(gate.figures()) }))
        .route("/", axum::routing::get(|| async { axum::response::Html("<title>webrtc</title>") }));
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await.context("port")?;
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
    let never = CancellationToken::new();
    tokio::select! {
        ended = server => ended?,
        ended = node.run(&never) => ended?,
        _ = tokio::signal::ctrl_c() => {
            registry.shut_down(std::time::Duration::from_secs(5)).await;
        }
    }
    node.stop().await?;
    Ok(())
}
