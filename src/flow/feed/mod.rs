//! The fan-out point between nodes.

mod consumer;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gst::prelude::*;
use tokio::sync::watch;

use consumer::Consumer;
pub use consumer::{Join, Link, LinkStats};
pub use writer::Writer;
use writer::WriterInner;

use super::caps::is_recovery_point;
use super::gop::Gop;
use super::{clock, format_of};
use crate::media::{Format, Kind, Timeline};

/// Decode times that step back by more than this are a new time base: the feed goes on where it
/// was, with a key frame.
const STEP_BACK_MAX: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// Key frames are asked of a source at most this often, whatever the number of viewers.
const KEYFRAME_REQUEST_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// A named, typed fan-out point: one active [`Writer`], any number of consumers. Cheap to clone.
///
/// A consumer that cannot keep up loses its own data, counted, and never holds back the feed.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    name: String,
    kind: Kind,
    /// Lock order: this is taken by media threads for the time of one fan-out; while it is held
    /// nothing else of ours is locked, and nothing blocks.
    state: Mutex<State>,
    format: watch::Sender<Option<Format>>,
    stats: FeedStats,
    next_id: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Whose buffers go through. The feed does not keep its writer alive: the writer keeps the feed.
    active: Weak<WriterInner>,
    caps: Option<gst::Caps>,
    format: Option<Format>,
    gop: Gop,
    consumers: Vec<Consumer>,
    /// Decode time of the newest buffer: a new writer may not step behind it.
    last_dts: Option<gst::ClockTime>,
    last_pts: Option<gst::ClockTime>,
    /// The writer has just changed: pictures start with a key frame.
    needs_key: bool,
    keyframe_asked: Option<gst::ClockTime>,
}

/// Running totals of a feed.
#[derive(Debug, Default)]
pub struct FeedStats {
    /// Buffers (frames, packets) let through.
    pub buffers: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Key frames among them.
    pub keyframes: AtomicU64,
    /// Buffers of a writer that is standing by.
    pub dropped_standby: AtomicU64,
    /// Buffers dropped around a change of writer: before a key frame, or older than what went out.
    pub dropped_switch: AtomicU64,
    /// How old the newest buffer was when it went through: microseconds between its timestamp and
    /// the clock. The difference between two feeds is what the nodes between them take.
    pub age_us: AtomicU64,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves a state that is still usable: losing a frame is
        // better than losing the stream.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

    /// What flows, once known; follows changes of the source.
    pub fn format(&self) -> watch::Receiver<Option<Format>> {
        self.0.format.subscribe()
    }

    /// Totals.
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
    pub fn writer(&self, timeline: Option<Arc<Mutex<Timeline>>>) -> Writer {
        Writer::new(self.clone(), timeline)
    }

    /// The only writer of a feed that a process node fills.
    pub fn sole_writer(&self) -> Writer {
        let writer = self.writer(None);
        writer.activate();
        writer
    }

    /// Nobody writes any more: what is cached is forgotten, consumers stay.
    pub fn clear(&self) {
        let mut state = self.0.lock();
        state.active = Weak::new();
        state.caps = None;
        state.format = None;
        state.gop.clear();
        drop(state);
        self.0.format.send_replace(None);
    }

    /// Adds a consumer: `appsrc` is set up as a live source and fed from now on.
    pub fn join(&self, label: impl Into<String>, appsrc: &gst_app::AppSrc, join: Join) -> Link {
        consumer::configure(appsrc);
        self.forward_keyframe_requests(appsrc);
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let needs_key = self.0.kind == Kind::Video;
        let mut consumer = Consumer::new(id, label.into(), appsrc.clone(), join, needs_key);
        let stats = consumer.stats.clone();
        let mut state = self.0.lock();
        let served = consumer.replay(&state);
        state.consumers.push(consumer);
        drop(state);
        if !served && join != Join::KeyFrames {
            self.request_keyframe();
        }
        Link::new(Arc::downgrade(&self.0), id, stats)
    }

    /// Asks the active writer's source for a key frame, at most twice a second.
    pub fn request_keyframe(&self) {
        if self.0.kind == Kind::Audio {
            return;
        }
        let now = clock::now();
        let mut state = self.0.lock();
        if state.keyframe_asked.is_some_and(|t| now.saturating_sub(t) < KEYFRAME_REQUEST_MIN) {
            return;
        }
        let Some(writer) = state.active.upgrade() else { return };
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

    /// Lets one buffer of the active writer through to everybody.
    fn deliver(&self, buffer: gst::Buffer, caps: &gst::Caps, is_key: bool) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let dts = buffer.dts_or_pts();
        let stepped_back = dts.zip(state.last_dts).is_some_and(|(d, l)| d + STEP_BACK_MAX < l);
        state.needs_key |= stepped_back;
        if state.needs_key {
            let behind = matches!((dts, state.last_dts), (Some(d), Some(last)) if d <= last);
            if behind || (self.0.kind == Kind::Video && !is_key) {
                self.0.stats.dropped_switch.fetch_add(1, Ordering::Relaxed);
                return;
            }
            state.needs_key = false;
            state.last_pts = None;
            // Another source with the same caps may be of another kind all the same.
            state.caps = None;
        }
        let reordered = state.last_pts.zip(buffer.pts()).is_some_and(|(last, pts)| pts < last);
        state.last_dts = dts;
        state.last_pts = buffer.pts();
        let format = self.follow_format(state, caps, &buffer, is_key, reordered);

        let age = dts.map_or(gst::ClockTime::ZERO, |dts| clock::now().saturating_sub(dts));
        self.0.stats.age_us.store(age.useconds(), Ordering::Relaxed);
        self.0.stats.buffers.fetch_add(1, Ordering::Relaxed);
        self.0.stats.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        if is_key {
            self.0.stats.keyframes.fetch_add(1, Ordering::Relaxed);
        }
        let coded = state.format.as_ref().is_some_and(|f| !f.codec.is_raw());
        if self.0.kind == Kind::Video && coded {
            state.gop.push(&buffer, is_key);
        }
        let mut starved = false;
        for consumer in &mut state.consumers {
            starved |= consumer.push(&buffer, caps, is_key);
        }
        drop(guard);
        if let Some(format) = format {
            self.0.format.send_replace(Some(format));
        }
        if starved {
            self.request_keyframe();
        }
    }

    /// Notes new caps; returns the format when it is another one than before.
    fn follow_format(
        &self,
        state: &mut State,
        caps: &gst::Caps,
        buffer: &gst::BufferRef,
        is_key: bool,
        reordered: bool,
    ) -> Option<Format> {
        let known_caps = state.caps.as_ref() == Some(caps);
        // What was once found out about these caps stays true.
        let known = state.format.as_ref().filter(|_| known_caps).map(|format| &format.video);
        let (reorders, recovers) =
            known.map_or((false, false), |v| (v.reorders, v.recovery_points));
        let recovery_point = !recovers && is_key && is_recovery_point(caps, buffer);
        if known_caps && (reorders || !reordered) && !recovery_point {
            return None;
        }
        if !known_caps {
            state.caps = Some(caps.clone());
            state.gop.clear();
        }
        let mut format = format_of(caps, is_key.then_some(buffer))?;
        format.video.reorders |= reorders || (reordered && may_reorder(&format));
        format.video.recovery_points = recovers || recovery_point;
        if state.format.as_ref() == Some(&format) {
            return None;
        }
        state.format = Some(format.clone());
        Some(format)
    }
}

/// Whether timestamps that step back can mean B-frames. In sound, in VP8 and in baseline H.264 they
/// cannot: there it is jitter of a sender's clock.
fn may_reorder(format: &Format) -> bool {
    use crate::media::{Codec, H264Profile};

    match format.codec {
        Codec::H264 => !matches!(
            format.video.profile,
            Some(H264Profile::ConstrainedBaseline | H264Profile::Baseline)
        ),
        Codec::H265 => true,
        _ => false,
    }
}
