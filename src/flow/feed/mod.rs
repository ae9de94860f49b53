//! The fan-out point between nodes.

mod consumer;
mod inner;
mod link;
#[cfg(test)]
mod past_tests;
mod switch;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use tokio::sync::watch;

use consumer::Consumer;
pub use consumer::{Join, LinkStats};
use inner::Inner;
pub use inner::{Feed, FeedStats};
pub use link::Link;
pub use writer::Writer;

use super::clock;
use super::gop::Frame;
use crate::media::{Format, IgnorePoison, Kind, Timeline};

/// Least time between two key frame requests to a source, whatever the number of viewers.
const KEYFRAME_REQUEST_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(500);

impl Feed {
    /// A feed without writer and consumers. `name` is unique within its stream: `video`,
    /// `audio.clean`, `audio.clean.opus` …
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            kind,
            state: Mutex::default(),
            format: watch::Sender::new(None),
            stats: FeedStats::default(),
            next_id: AtomicU64::new(1),
            left: tokio::sync::Notify::new(),
        }))
    }

    /// The feed's name within its stream.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Video or audio.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether both are handles on one feed.
    pub fn same_as(&self, other: &Feed) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The format of the feed, once known; follows changes of the source.
    pub fn format(&self) -> watch::Receiver<Option<Format>> {
        self.0.format.subscribe()
    }

    /// Running totals.
    pub fn stats(&self) -> &FeedStats {
        &self.0.stats
    }

    /// Names of the consumers and their totals.
    pub fn links(&self) -> Vec<(String, Arc<LinkStats>)> {
        self.0.lock().consumers.iter().map(|c| (c.label.clone(), c.stats.clone())).collect()
    }

    /// A writer that stands by until [`Writer::activate`]. Writers of one publisher share a
    /// `timeline`, which places the publisher's own timestamps on the clock; without one the
    /// buffers must already carry running time.
    ///
    /// An earlier publisher may have run ahead of the clock; this one begins after its last buffer.
    pub fn writer(&self, timeline: Option<Arc<Mutex<Timeline>>>) -> Writer {
        let last = self.0.lock().last_dts;
        if let Some((timeline, last)) = timeline.as_ref().zip(last) {
            let mut timeline = timeline.lock().ignore_poison();
            timeline.begin_after(last.into());
        }
        Writer::new(self.clone(), timeline)
    }

    /// An active writer for a feed that one process node fills.
    pub fn sole_writer(&self) -> Writer {
        let writer = self.writer(None);
        writer.activate();
        writer
    }

    /// The feed has no writer any more: its cache is cleared, its consumers stay.
    pub fn clear(&self) {
        let mut state = self.0.lock();
        if let Some(gop) = state.gop() {
            gop.clear();
        }
        state.active = 0;
        state.is_claimed = !state.consumers.is_empty();
        // Time must not step back for consumers; without any it begins anew.
        if state.consumers.is_empty() {
            state.last_dts = None;
        }
        state.caps = None;
        state.format = None;
        drop(state);
        self.0.format.send_replace(None);
    }

    /// The stream has gone off air: the node that fills this feed finishes what it has.
    pub fn end(&self) {
        self.0.lock().is_ending = true;
    }

    /// Whether [`Self::end`] was called.
    pub fn is_ending(&self) -> bool {
        self.0.lock().is_ending
    }

    /// Waits until the writer of an ending feed is dropped, at most `max`. Returns at once if the
    /// feed is not ending.
    pub async fn ended(&self, max: Duration) {
        let over = async {
            loop {
                let left = self.0.left.notified();
                if !self.0.lock().awaits_the_last() {
                    return;
                }
                left.await;
            }
        };
        let _ = tokio::time::timeout(max, over).await;
    }

    /// Adds a consumer: `appsrc` is set up as a live source and fed from now on.
    pub fn join(&self, label: impl Into<String>, appsrc: &gst_app::AppSrc, join: Join) -> Link {
        consumer::configure(appsrc);
        self.forward_keyframe_requests(appsrc);
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let mut consumer = Consumer::new(id, label.into(), appsrc.clone(), join, self.0.kind);
        let stats = consumer.stats.clone();
        let mut state = self.0.lock();
        let reorders = state.format.as_ref().is_some_and(|f| f.video.reorders);
        let caps = state.caps.clone();
        let served =
            caps.zip(state.gop()).is_some_and(|(caps, gop)| consumer.replay(gop, &caps, reorders));
        state.consumers.push(consumer);
        state.is_claimed |= join != Join::KeyFrames;
        drop(state);
        if !served && join != Join::KeyFrames {
            self.request_keyframe();
        }
        Link::new(Arc::downgrade(&self.0), id, stats)
    }

    /// Running time of the first frame that a consumer with this [`Join`] gets.
    pub fn backlog_start(&self, join: Join) -> Option<gst::ClockTime> {
        let mut state = self.0.lock();
        let gop = state.gop()?;
        let first = match join {
            Join::KeptFrom(from) => gop.kept_from(from).next(),
            _ => gop.frames().first(),
        };
        first.and_then(Frame::dts)
    }

    /// Decode time of the frame sent last.
    pub fn newest(&self) -> Option<gst::ClockTime> {
        self.0.lock().last_dts
    }

    /// Requests a key frame from the active writer's source, at most twice a second.
    pub fn request_keyframe(&self) {
        if self.0.kind == Kind::Audio {
            return;
        }
        let now = clock::now();
        let mut state = self.0.lock();
        if state.keyframe_asked.is_some_and(|t| now.saturating_sub(t) < KEYFRAME_REQUEST_INTERVAL) {
            return;
        }
        let active = state.active;
        let writer = state.lane(active).and_then(|lane| lane.writer.upgrade());
        let Some(writer) = writer else { return };
        state.keyframe_asked = Some(now);
        drop(state);
        writer.ask_for_keyframe();
    }

    fn forward_keyframe_requests(&self, appsrc: &gst_app::AppSrc) {
        let feed = Arc::downgrade(&self.0);
        let Some(pad) = appsrc.static_pad("src") else { return };
        pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            let asks = info
                .event()
                .and_then(|e| e.structure())
                .is_some_and(|s| s.name() == "GstForceKeyUnit");
            if !asks {
                return gst::PadProbeReturn::Ok;
            }
            if let Some(feed) = feed.upgrade() {
                Feed(feed).request_keyframe();
            }
            gst::PadProbeReturn::Handled
        });
    }
}
