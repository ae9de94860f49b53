//! The layers of a publisher's video (simulcast, RFC 8853): one picture in several sizes.
//!
//! Each layer goes to a feed of its own, unchanged. The one with the largest picture that comes is also
//! the stream's video; a publisher stops its larger layers when its line gets thin.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::caps::can_start_decoding;
use super::clock;
use super::feed::{Feed, Writer};
use super::main_layer::MainLayer;
use crate::media::{IgnorePoison, Kind, SENT_LAYERS_MAX};

/// Least distance of two frames of the stream's video: two layers may differ in time by some
/// milliseconds.
const FRAME_DISTANCE_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// [`Inner::playing`] before a layer plays.
const NO_LAYER_INDEX: usize = usize::MAX;

/// The layers of one publisher. Cheap to clone.
#[derive(Clone)]
pub struct PublisherLayers(Arc<Inner>);

struct Inner {
    /// The stream's video.
    main: Writer,
    /// Locked while a frame is written to the stream's video, so that layers do not mix there. Writing may
    /// ask for a key frame, which takes `list`.
    order: Mutex<Order>,
    list: Mutex<Vec<PublisherLayer>>,
    /// Index of the layer that is the stream's video.
    playing: AtomicUsize,
}

#[derive(Default)]
struct Order {
    choice: MainLayer,
    /// Time of the last frame of the stream's video, on the publisher's clock.
    last: Option<gst::ClockTime>,
}

/// One layer.
#[derive(Clone)]
pub struct PublisherLayer {
    /// Its `rid` (RFC 8851).
    pub rid: String,
    /// Writes its feed, which it alone fills.
    pub writer: Writer,
    index: usize,
    layers: Weak<Inner>,
}

impl PublisherLayers {
    /// No layers yet; the best of those to come writes the stream's video by this writer.
    pub fn new(main: Writer) -> Self {
        let (order, list) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { main, order, list, playing: AtomicUsize::new(NO_LAYER_INDEX) }))
    }

    /// The layer with this `rid`, added if there is none. `None` beyond [`SENT_LAYERS_MAX`].
    pub fn layer(&self, rid: &str) -> Option<PublisherLayer> {
        // In this order, as where a frame is written.
        let mut order = self.0.order.lock().ignore_poison();
        let mut list = self.0.list.lock().ignore_poison();
        if let Some(known) = list.iter().find(|layer| layer.rid == rid) {
            return Some(known.clone());
        }
        if list.len() >= SENT_LAYERS_MAX {
            return None;
        }
        let writer = self.0.main.beside(Feed::new(format!("video.layer.{rid}"), Kind::Video));
        let index = order.choice.add();
        let layer =
            PublisherLayer { rid: rid.to_owned(), writer, index, layers: Arc::downgrade(&self.0) };
        list.push(layer.clone());
        if index == 0 {
            let layers = Arc::downgrade(&self.0);
            self.0.main.on_keyframe_request(move || {
                if let Some(layers) = layers.upgrade() {
                    layers.ask_for_keyframe(layers.playing.load(Ordering::Relaxed));
                }
            });
        }
        Some(layer)
    }

    /// All layers, in the order in which they came.
    pub fn all(&self) -> Vec<PublisherLayer> {
        self.0.list.lock().ignore_poison().clone()
    }
}

impl Inner {
    fn ask_for_keyframe(&self, index: usize) {
        let layer = self.list.lock().ignore_poison().get(index).cloned();
        if let Some(layer) = layer {
            layer.writer.ask_for_keyframe();
        }
    }

    /// Passes a frame of a layer to the stream's video if it is the layer for it.
    fn follow(&self, index: usize, buffer: &gst::Buffer, caps: &gst::Caps) {
        let flagged = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let is_key = flagged && can_start_decoding(caps, buffer);
        let mut order = self.order.lock().ignore_poison();
        let verdict = order.choice.frame(index, is_key, pixels(caps), now());
        if verdict.passes {
            let playing = order.choice.playing().unwrap_or(NO_LAYER_INDEX);
            self.playing.store(playing, Ordering::Relaxed);
            let frame = order.behind_the_last(buffer);
            self.main.push(frame, caps);
        }
        drop(order);
        if let Some(index) = verdict.ask {
            self.ask_for_keyframe(index);
        }
    }
}

impl Order {
    /// The frame, moved behind the last one if it is not later.
    fn behind_the_last(&mut self, buffer: &gst::Buffer) -> gst::Buffer {
        let mut frame = buffer.clone();
        let earliest = self.last.map(|last| last + FRAME_DISTANCE_MIN);
        let late = frame.dts_or_pts().zip(earliest).and_then(|(at, least)| least.checked_sub(at));
        if let Some(late) = late {
            let frame = frame.make_mut();
            frame.set_pts(frame.pts().map(|pts| pts + late));
            frame.set_dts(frame.dts().map(|dts| dts + late));
        }
        self.last = frame.dts_or_pts().or(self.last);
        frame
    }
}

impl PublisherLayer {
    /// Makes an `appsink` write this layer, and the stream's video while that is this layer.
    pub(super) fn attach(&self, appsink: &gst_app::AppSink) {
        let (layers, index) = (self.layers.clone(), self.index);
        self.writer.attach_before(appsink, move |buffer, caps| {
            if let Some(layers) = layers.upgrade() {
                layers.follow(index, buffer, caps);
            }
        });
    }

    /// Whether it comes: it may have been stopped by its publisher.
    pub fn comes(&self) -> bool {
        let layers = self.layers.upgrade();
        layers.is_some_and(|l| l.order.lock().ignore_poison().choice.comes(self.index, now()))
    }

    /// Whether it is the stream's video while its publisher is on air.
    pub fn is_main(&self) -> bool {
        let layers = self.layers.upgrade();
        layers.is_some_and(|layers| layers.playing.load(Ordering::Relaxed) == self.index)
    }
}

fn now() -> Duration {
    clock::now().into()
}

/// Pixels of the pictures with these caps; 0 if they do not say.
fn pixels(caps: &gst::Caps) -> u64 {
    let side = |name| {
        let value = caps.structure(0).and_then(|s| s.get::<i32>(name).ok());
        value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
    };
    side("width") * side("height")
}
