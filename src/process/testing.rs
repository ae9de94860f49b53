//! Shared by the tests of the nodes: generated raw media, and a consumer that keeps its input.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::encoders::Encoders;
use crate::flow::{self, Feed, Join, Node, Writer};

/// Time limit of a test that waits for a condition.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The encoders of this machine, probed once for all tests.
pub(super) fn encoders() -> &'static Encoders {
    static ENCODERS: OnceLock<Encoders> = OnceLock::new();
    ENCODERS.get_or_init(|| {
        crate::init().expect("GStreamer starts");
        Encoders::probe(&Default::default())
    })
}

/// Waits until `condition` holds, polling every few milliseconds.
#[track_caller]
pub(super) fn eventually(what: &str, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < end, "{caller}: not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Writes a moving test pattern into a feed, `fps` frames per second of running time, as fast as it
/// can.
pub(super) struct Camera {
    writer: Writer,
    caps: gst::Caps,
    info: gst_video::VideoInfo,
    pub(super) next: gst::ClockTime,
    step: gst::ClockTime,
    count: u64,
}

impl Camera {
    pub(super) fn new(writer: Writer, width: u32, height: u32, fps: i32, framerate: &str) -> Self {
        let caps: gst::Caps =
            format!("video/x-raw,format=I420,width={width},height={height},framerate={framerate}")
                .parse()
                .expect("valid caps");
        let info = gst_video::VideoInfo::from_caps(&caps).expect("valid caps");
        let step = gst::ClockTime::SECOND / u64::try_from(fps).expect("positive");
        Self { writer, caps, info, next: flow::now(), step, count: 0 }
    }

    pub(super) fn shoot(&mut self, frames: usize) {
        for _ in 0..frames {
            let mut pixels = vec![128_u8; self.info.size()];
            let luma = self.info.stride()[0] as usize * self.info.height() as usize;
            for (at, pixel) in pixels[..luma].iter_mut().enumerate() {
                *pixel = ((at as u64 / 3 + self.count * 5) % 200 + 16) as u8;
            }
            let mut buffer = gst::Buffer::from_mut_slice(pixels);
            let writable = buffer.get_mut().expect("sole owner");
            writable.set_pts(self.next);
            writable.set_duration(self.step);
            self.writer.push(buffer, &self.caps);
            self.next += self.step;
            self.count += 1;
        }
    }
}

/// Writes a tone into a feed, in packets of 20 ms, as fast as it can.
pub(super) struct Singer {
    writer: Writer,
    channels: usize,
    start: gst::ClockTime,
    packets: usize,
}

impl Singer {
    pub(super) fn new(writer: Writer, channels: usize) -> Self {
        Self { writer, channels, start: flow::now(), packets: 0 }
    }

    pub(super) fn sing(&mut self, packets: usize) {
        const PACKET: usize = 960;
        let caps = format!(
            "audio/x-raw,format=F32LE,rate=48000,channels={},layout=interleaved",
            self.channels
        );
        let caps: gst::Caps = caps.parse().expect("valid caps");
        for _ in 0..packets {
            let sample = |k| {
                let at = self.packets * PACKET + k / self.channels;
                0.3 * (at as f32 * 0.06).sin()
            };
            let samples = (0..PACKET * self.channels).map(sample);
            let bytes: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let writable = buffer.get_mut().expect("sole owner");
            let offset = gst::ClockTime::from_mseconds(20 * self.packets as u64);
            writable.set_pts(self.start + offset);
            writable.set_duration(gst::ClockTime::from_mseconds(20));
            self.writer.push(buffer, &caps);
            self.packets += 1;
        }
    }
}

/// A consumer of a feed that keeps every buffer.
pub(super) struct Catch {
    node: Node,
    caught: Arc<Mutex<Vec<gst::Buffer>>>,
}

impl Catch {
    pub(super) async fn new(feed: &Feed) -> Self {
        let node =
            Node::parse("catch", "appsrc name=in ! fakesink name=sink sync=false async=false")
                .expect("parses");
        let caught: Arc<Mutex<Vec<gst::Buffer>>> = Arc::default();
        let keep = caught.clone();
        let pad = node.element("sink").expect("there").static_pad("sink").expect("a pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                keep.lock().expect("not poisoned").push(buffer.clone());
            }
            gst::PadProbeReturn::Ok
        });
        node.input("in", feed, Join::Live).expect("an appsrc");
        node.start().await.expect("starts");
        Self { node, caught }
    }

    /// The caps of the input.
    pub(super) fn caps(&self) -> gst::Caps {
        let sink = self.node.element("sink").expect("there");
        sink.static_pad("sink").and_then(|pad| pad.current_caps()).expect("something came")
    }

    pub(super) fn count(&self) -> usize {
        self.caught.lock().expect("not poisoned").len()
    }

    pub(super) fn buffers(&self) -> Vec<gst::Buffer> {
        self.caught.lock().expect("not poisoned").clone()
    }
}

pub(super) fn is_key(buffer: &gst::Buffer) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
}
