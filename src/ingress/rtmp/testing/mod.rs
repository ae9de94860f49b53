//! Shared by the tests of RTMP in and out: a gate, a server, a feed probe, and peers.

pub(crate) mod client;
pub(crate) mod peers;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use gst::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{Config, Server};
use crate::flow::{
    AccessRequest, Admission, Feed, Gate, Intake, Join, Node, Refusal, RefusalKind, SourceReport,
    Subscription, Tracks,
};
use crate::media::{Accepts, Kind, Timeline};

/// The token of every test stream.
pub(crate) const TOKEN: &str = "s3cret/+";

/// A gate with one stream, `studio-1`, that refuses a second publisher.
pub(crate) struct TestGate {
    pub(crate) video: Feed,
    pub(crate) audio: Feed,
    taken: Arc<AtomicBool>,
    /// Number of publishers admitted so far.
    pub(crate) admitted: AtomicUsize,
    /// Number of publishers refused so far.
    pub(crate) refused: AtomicUsize,
    /// Refusals and faults reported to the gate.
    pub(crate) reported: Mutex<Vec<String>>,
    /// The last publisher's report, and the token that dismisses it.
    pub(crate) last: Mutex<Option<(Arc<SourceReport>, CancellationToken)>>,
}

impl TestGate {
    pub(crate) fn new() -> Arc<Self> {
        crate::init().expect("GStreamer starts");
        Arc::new(Self {
            video: Feed::new("video", Kind::Video),
            audio: Feed::new("audio", Kind::Audio),
            taken: Arc::default(),
            admitted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            reported: Mutex::default(),
            last: Mutex::default(),
        })
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::SeqCst)
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        let last = self.last.lock().expect("no panic");
        last.as_ref().map(|(report, _)| report.notes()).unwrap_or_default()
    }
}

impl Gate for TestGate {
    fn admit(&self, access_request: &AccessRequest) -> Result<Admission, Refusal> {
        let refuse = |kind, message: &str| {
            self.refused.fetch_add(1, Ordering::SeqCst);
            Err(Refusal::new(kind, message, "ask the admin"))
        };
        if access_request.stream.as_str() != "studio-1" {
            return refuse(RefusalKind::UnknownStream, "there is no such stream");
        }
        if !access_request.credential.as_ref().is_some_and(|c| c.matches_pasted(TOKEN)) {
            return refuse(RefusalKind::Unauthorized, "the token is wrong");
        }
        Ok(Admission::default())
    }

    fn publish(
        &self,
        access_request: AccessRequest,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let result = self.admit(&access_request).and_then(|_| {
            if self.taken.swap(true, Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Err(Refusal::new(RefusalKind::Taken, "another publishes", ""));
            }
            self.admitted.fetch_add(1, Ordering::SeqCst);
            let timeline = Some(Arc::new(Mutex::new(Timeline::default())));
            let tracks = Tracks::new(
                self.video.writer(timeline.clone()),
                self.audio.writer(timeline),
                report.clone(),
                Default::default(),
            );
            tracks.video.activate();
            tracks.audio.activate();
            let cancel = CancellationToken::new();
            *self.last.lock().expect("no panic") = Some((report, cancel.clone()));
            let taken = self.taken.clone();
            let on_drop = move || taken.store(false, Ordering::SeqCst);
            let stream = access_request.stream;
            Ok(Intake {
                stream,
                tracks,
                captions: Default::default(),
                cancel,
                on_drop: Some(Box::new(on_drop)),
            })
        });
        Box::pin(std::future::ready(result))
    }

    fn play(
        &self,
        _: AccessRequest,
        _: Accepts,
    ) -> BoxFuture<'static, Result<Subscription, Refusal>> {
        Box::pin(std::future::ready(Err(Refusal::new(RefusalKind::NotLive, "no", ""))))
    }

    fn report_refusal(&self, access_request: &AccessRequest, refusal: &Refusal) {
        let told = format!("{}: {}", access_request.stream, refusal.message);
        self.reported.lock().expect("no panic").push(told);
    }
}

/// A server on free ports; stops when dropped.
pub(crate) struct TestServer {
    pub(crate) gate: Arc<TestGate>,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: Option<SocketAddr>,
    pub(crate) cancel: CancellationToken,
    pub(crate) done: tokio::task::JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start(config: Config) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let tls_listen = config.tls_listen.map(|_| any);
        let gate = TestGate::new();
        let server = Server::bind(Config { listen: any, tls_listen, ..config }).await;
        let server = server.expect("a server on free ports");
        let address = server.address().expect("an address");
        let (tls_address, cancel) = (server.tls_address(), CancellationToken::new());
        let done = tokio::spawn(server.run(gate.clone(), cancel.clone()));
        Self { gate, address, tls_address, cancel, done }
    }

    /// The URL for publishing a stream; the token is encoded, as its characters require.
    pub(crate) fn url(&self, name: &str, token: &str) -> String {
        let token = token.replace('/', "%2F").replace('+', "%2B");
        format!("rtmp://{}/live/{name}?token={token}", self.address)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Waits until a condition holds, at most `max`.
pub(crate) async fn until(what: &str, max: Duration, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < max, "not within {max:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One buffer as seen by a consumer of a feed.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) pts: Duration,
    pub(crate) dts: Option<Duration>,
    pub(crate) bytes: Vec<u8>,
}

/// Records the buffers of a feed.
pub(crate) struct Probe {
    seen: Arc<Mutex<Vec<Observed>>>,
    _node: Node,
}

impl Probe {
    pub(crate) async fn on(feed: &Feed) -> Self {
        let node = Node::parse("probe", "appsrc name=in ! appsink name=out sync=false async=false")
            .expect("a pipeline");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = node.element("out").expect("there").downcast::<gst_app::AppSink>();
        let log = seen.clone();
        let on_sample = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
            let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?.to_vec();
            let pts = buffer.pts().ok_or(gst::FlowError::Error)?.into();
            let seen = Observed { pts, dts: buffer.dts().map(Into::into), bytes };
            log.lock().expect("no panic").push(seen);
            Ok(gst::FlowSuccess::Ok)
        };
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build();
        sink.expect("an appsink").set_callbacks(callbacks);
        node.input("in", feed, Join::Live).expect("joins");
        node.start().await.expect("starts");
        Self { seen, _node: node }
    }

    pub(crate) fn seen(&self) -> Vec<Observed> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }
}
