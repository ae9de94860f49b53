//! Muxes feeds as MPEG-TS into a socket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Socket;
use super::socket::TS_PAYLOAD_BYTES;
use crate::flow::{self, Blame, Feed, Framing, Inputs, Join, Node, NodeEvent, Status};
use crate::media::{Accept, Accepts, Captions, Codec, Kind};

/// Time limit for the first track.
const FIRST_TRACK_MAX: Duration = Duration::from_secs(10);

/// How much later than the first a second track may arrive and still join the programme.
const SECOND_TRACK_MAX: Duration = Duration::from_secs(3);

/// After this many consecutive seconds with losses the other end is too slow for the stream.
const LOSSY_STREAK_S_MAX: u32 = 10;

/// When sending ends, remaining data is muxed within this time, and confirmed by the other end
/// within the same time again.
const HANG_UP_MAX: Duration = Duration::from_millis(500);

/// Longest latency of the other end that is waited for.
const PEER_LATENCY_MAX: Duration = Duration::from_secs(1);

/// Interval at which the confirmation is polled.
const HANG_UP_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Codecs that MPEG-TS carries and common players support: Opus passes through if it is published,
/// but AAC is preferred when audio has to be encoded.
pub fn accepts() -> Accepts {
    let video = Accept::any_of([Codec::H264, Codec::H265]);
    let audio = Accept::any_of([Codec::Aac, Codec::Opus, Codec::Mp2, Codec::Mp3]);
    let captions = Captions { text: false, embedded: true };
    Accepts::media(Some(video), Some(audio)).with_captions(captions)
}

/// Why sending ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It was cancelled.
    Cancelled,
    /// Tracks or codecs of the programme have changed, so it must be muxed anew.
    TracksChanged,
}

/// The codecs of a programme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    video: Option<Codec>,
    audio: Option<Codec>,
}

impl Shape {
    fn of(inputs: &Inputs) -> Self {
        let codec =
            |feed: &Option<Feed>| feed.as_ref()?.format().borrow().as_ref().map(|f| f.codec);
        Self { video: codec(&inputs.video), audio: codec(&inputs.audio) }
    }

    /// Waits until the tracks of a programme are known: both of two, or one after a time limit for
    /// the other.
    ///
    /// # Errors
    /// [`flow::Error::Stalled`] when no track arrives in time.
    pub async fn settle(inputs: &Inputs) -> Result<Self, flow::Error> {
        if inputs.video.is_none() && inputs.audio.is_none() {
            return Err(flow::Error::refused(
                Blame::Input,
                "the stream has no track that MPEG-TS can carry",
                "publish H.264 or H.265 video, or any audio",
            ));
        }
        let known = async |feed: &Option<Feed>| match feed {
            // Cannot fail: the sender lives as long as the feed that is held here.
            Some(feed) => drop(feed.format().wait_for(Option::is_some).await),
            None => std::future::pending().await,
        };
        let first = async {
            tokio::select! {
                () = known(&inputs.video) => {}
                () = known(&inputs.audio) => {}
            }
        };
        if tokio::time::timeout(FIRST_TRACK_MAX, first).await.is_err() {
            return Err(flow::Error::Stalled(FIRST_TRACK_MAX));
        }
        if inputs.video.is_none() || inputs.audio.is_none() {
            return Ok(Self::of(inputs));
        }
        let both = async { tokio::join!(known(&inputs.video), known(&inputs.audio)) };
        let _ = tokio::time::timeout(SECOND_TRACK_MAX, both).await;
        Ok(Self::of(inputs))
    }

    fn branch(codec: Codec) -> Result<&'static str, flow::Error> {
        Framing::MpegTs.parser(codec).ok_or_else(|| {
            flow::Error::refused(
                Blame::Us,
                format!("MPEG-TS cannot carry {codec}"),
                "put an encoder before the output",
            )
        })
    }

    fn description(self) -> Result<String, flow::Error> {
        let mut text = format!(
            "mpegtsmux name=mux alignment=7 latency={} ! appsink name=out sync=false async=false",
            // One late track must not break the interleaving.
            gst::ClockTime::SECOND.nseconds()
        );
        for (kind, codec) in [(Kind::Video, self.video), (Kind::Audio, self.audio)] {
            if let Some(codec) = codec {
                text += &format!(" appsrc name={kind} ! {} ! mux.", Self::branch(codec)?);
            }
        }
        Ok(text)
    }
}

/// Shared by the muxer's thread and the node.
struct Outlet {
    socket: Arc<Socket>,
    bytes: AtomicU64,
    /// Payloads dropped because the send buffer was full.
    dropped: AtomicU64,
    lost: OnceLock<String>,
    over: CancellationToken,
}

impl Outlet {
    /// Never blocks: data that the other end cannot take in time is lost for it only.
    fn send(&self, bytes: &[u8]) -> Result<(), gst::FlowError> {
        for payload in bytes.chunks(TS_PAYLOAD_BYTES) {
            match self.socket.send(payload) {
                Ok(true) => {
                    self.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
                }
                Ok(false) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(e) => {
                    let _ = self.lost.set(e.to_string());
                    self.over.cancel();
                    return Err(gst::FlowError::Eos);
                }
            }
        }
        Ok(())
    }
}

/// Sends the inputs into a connected socket until `cancel`, and closes it.
///
/// # Errors
/// [`flow::Error::Refused`] with blame on the destination when the other end leaves or is too slow
/// for the stream; otherwise errors of the pipeline.
pub async fn send(
    name: &str,
    socket: Arc<Socket>,
    mut inputs: watch::Receiver<Inputs>,
    join: Join,
    cancel: &CancellationToken,
    status: &Status,
) -> Result<SendOutcome, flow::Error> {
    let now = inputs.borrow_and_update().clone();
    let shape = tokio::select! {
        shape = Shape::settle(&now) => shape?,
        () = cancel.cancelled() => return Ok(SendOutcome::Cancelled),
    };
    let node = Node::parse(name, &shape.description()?)?;
    let outlet = Arc::new(Outlet {
        socket: socket.clone(),
        bytes: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        lost: OnceLock::new(),
        over: CancellationToken::new(),
    });
    attach(&node, &outlet)?;
    let moved = match join {
        Join::Backlog => {
            let video = now.video.as_ref().filter(|_| shape.video.is_some());
            let audio = now.audio.as_ref().filter(|_| shape.audio.is_some());
            node.input_backlog(video, audio, join)?;
            // Data already sent must not be sent again from another feed.
            Join::Live
        }
        join => {
            connect(&node, &now, shape, join)?;
            join
        }
    };
    node.start().await?;
    let sender = Sender { node: &node, outlet: &outlet, shape, join: moved };
    let result = sender.follow(&mut inputs, cancel, status).await;
    if result.is_ok() {
        hang_up(&node, &socket).await;
    }
    socket.close();
    node.stop().await?;
    result
}

/// Sends the rest, and leaves the other end time to output it: its libsrt discards what is not due
/// when the connection ends.
async fn hang_up(node: &Node, socket: &Socket) {
    node.finish(HANG_UP_MAX).await;
    let confirmed = async {
        while socket.is_connected() && socket.holds_unsent() {
            tokio::time::sleep(HANG_UP_POLL_INTERVAL).await;
        }
    };
    let _ = tokio::time::timeout(HANG_UP_MAX, confirmed).await;
    if socket.is_connected() {
        tokio::time::sleep(socket.peer_latency().min(PEER_LATENCY_MAX)).await;
    }
}

fn attach(node: &Node, outlet: &Arc<Outlet>) -> Result<(), flow::Error> {
    let element = node.element("out")?;
    let Some(sink) = gst::prelude::Cast::downcast_ref::<gst_app::AppSink>(&element) else {
        return Err(flow::Error::build("the sink", "it is not an appsink"));
    };
    let outlet = outlet.clone();
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        outlet.send(&map)?;
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    Ok(())
}

fn connect(node: &Node, inputs: &Inputs, shape: Shape, join: Join) -> Result<(), flow::Error> {
    let sides =
        [(&inputs.video, shape.video, Kind::Video), (&inputs.audio, shape.audio, Kind::Audio)];
    for (feed, codec, kind) in sides {
        if let (Some(feed), Some(_)) = (feed, codec) {
            node.input(kind.as_str(), feed, join)?;
        }
    }
    Ok(())
}

struct Sender<'a> {
    node: &'a Node,
    outlet: &'a Outlet,
    shape: Shape,
    join: Join,
}

impl Sender<'_> {
    async fn follow(
        &self,
        inputs: &mut watch::Receiver<Inputs>,
        cancel: &CancellationToken,
        status: &Status,
    ) -> Result<SendOutcome, flow::Error> {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let (mut lossy_seconds, mut lost_before) = (0, 0);
        let mut feeds_may_change = true;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(SendOutcome::Cancelled),
                () = self.outlet.over.cancelled() => return Err(self.gone()),
                changed = inputs.changed(), if feeds_may_change => {
                    feeds_may_change = changed.is_ok();
                    let now = inputs.borrow_and_update().clone();
                    if Shape::of(&now) != self.shape {
                        return Ok(SendOutcome::TracksChanged);
                    }
                    connect(self.node, &now, self.shape, self.join)?;
                }
                event = self.node.next_event() => match event {
                    Ok(NodeEvent::Element(_)) => {}
                    // A parser that gets another codec fails before the change is announced.
                    _ if self.has_changed(inputs) => return Ok(SendOutcome::TracksChanged),
                    Ok(NodeEvent::Eos) => return Err(flow::Error::Ended),
                    Err(e) => return Err(e),
                },
                _ = tick.tick() => {
                    if self.has_changed(inputs) {
                        return Ok(SendOutcome::TracksChanged);
                    }
                    if !self.outlet.socket.is_connected() {
                        return Err(self.gone());
                    }
                    let lost = self.report(status);
                    lossy_seconds = if lost > lost_before { lossy_seconds + 1 } else { 0 };
                    lost_before = lost;
                    if lossy_seconds >= LOSSY_STREAK_S_MAX {
                        return Err(flow::Error::refused(
                            Blame::Destination,
                            format!("too slow: it lost data for {lossy_seconds} s on end"),
                            "lower the bitrate, or raise `latency` on a link with long round trips",
                        ));
                    }
                }
            }
        }
    }

    fn has_changed(&self, inputs: &watch::Receiver<Inputs>) -> bool {
        let now = Shape::of(&inputs.borrow());
        // An empty feed may come back unchanged.
        let differs = |was: Option<Codec>, is: Option<Codec>| is.is_some() && is != was;
        differs(self.shape.video, now.video) || differs(self.shape.audio, now.audio)
    }

    fn gone(&self) -> flow::Error {
        let why = self.outlet.lost.get().map_or("the other end is gone", String::as_str);
        flow::Error::refused(
            Blame::Destination,
            format!("the SRT connection has ended: {why}"),
            "see at the other end why it closed",
        )
    }

    /// Reports the figures; returns the packets lost so far.
    fn report(&self, status: &Status) -> u64 {
        let bytes = self.outlet.bytes.load(Ordering::Relaxed);
        if bytes > 0 && !status.is_running() {
            status.set_running();
        }
        let stats = self.outlet.socket.stats().unwrap_or_default();
        let lost = self.outlet.dropped.load(Ordering::Relaxed) + stats.packets_dropped;
        status.set("bytes", bytes);
        status.set("packets_resent", stats.packets_resent);
        status.set("packets_dropped", lost);
        status.set("rtt_ms", (stats.rtt.as_secs_f64() * 1e4).round() / 10.0);
        lost
    }
}
