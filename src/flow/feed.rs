//! The fan-out point between nodes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gst::prelude::*;
use tokio::sync::watch;

use super::gop::Gop;
use super::{clock, format_of};
use crate::media::{Format, Kind, Timeline};

/// A consumer with more than this queued is slow: it loses data until the next key frame.
const QUEUED_MAX: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// The same bound in bytes, for feeds without durations and for raw pictures.
const QUEUED_BYTES_MAX: u64 = 24 << 20;

/// A queue this short is no sign of slowness, however far apart its timestamps are: a source that
/// comes back after a pause leaves such a gap.
const QUEUED_BUFFERS_MIN: u64 = 8;

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
    active: Option<Arc<WriterInner>>,
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

/// Running totals of one consumer of a feed.
#[derive(Debug, Default)]
pub struct LinkStats {
    /// Buffers handed over.
    pub buffers: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Dropped because the consumer was behind.
    pub dropped_slow: AtomicU64,
    /// Dropped while waiting for a key frame.
    pub dropped_waiting: AtomicU64,
    /// Refused by the consumer's pipeline.
    pub errors: AtomicU64,
}

/// How a consumer of encoded pictures starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// With the next key frame, which is asked for.
    Live,
    /// With the current group of pictures squeezed to the live edge, for players: a picture at
    /// once and no added latency.
    FastForward,
    /// With the current group of pictures at its true times, for files and segments.
    Backlog,
    /// Key frames only, beginning with the last one: for thumbnails.
    KeyFrames,
}

struct Consumer {
    id: u64,
    label: String,
    appsrc: gst_app::AppSrc,
    join: Join,
    needs_key: bool,
    stats: Arc<LinkStats>,
}

/// One consumer's membership; dropping it leaves the feed.
pub struct Link {
    feed: Weak<Inner>,
    id: u64,
    stats: Arc<LinkStats>,
}

impl Link {
    /// Totals of this consumer.
    pub fn stats(&self) -> &Arc<LinkStats> {
        &self.stats
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            feed.lock().consumers.retain(|c| c.id != self.id);
        }
    }
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
        Writer(Arc::new(WriterInner {
            feed: self.clone(),
            timeline,
            requester: Mutex::default(),
            last_at: AtomicU64::new(0),
            has_key: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
        }))
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
        state.active = None;
        state.caps = None;
        state.format = None;
        state.gop.clear();
        drop(state);
        self.0.format.send_replace(None);
    }

    /// Adds a consumer: `appsrc` is set up as a live source and fed from now on.
    pub fn join(&self, label: impl Into<String>, appsrc: &gst_app::AppSrc, join: Join) -> Link {
        configure(appsrc);
        self.forward_keyframe_requests(appsrc);
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let stats = Arc::new(LinkStats::default());
        let mut consumer = Consumer {
            id,
            label: label.into(),
            appsrc: appsrc.clone(),
            join,
            needs_key: self.0.kind == Kind::Video,
            stats: stats.clone(),
        };
        let mut state = self.0.lock();
        let served = consumer.replay(&state);
        state.consumers.push(consumer);
        drop(state);
        if !served && join != Join::KeyFrames {
            self.request_keyframe();
        }
        Link { feed: Arc::downgrade(&self.0), id, stats }
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
        let Some(writer) = state.active.clone() else { return };
        state.keyframe_asked = Some(now);
        drop(state);
        if let Some(ask) = &*writer.requester.lock().unwrap_or_else(PoisonError::into_inner) {
            ask();
        }
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
        let known_order = !reordered || state.format.as_ref().is_none_or(|f| f.video.reorders);
        if known_caps && known_order {
            return None;
        }
        if !known_caps {
            state.caps = Some(caps.clone());
            state.gop.clear();
        }
        let mut format = format_of(caps, is_key.then_some(buffer))?;
        format.video.reorders |= reordered && may_reorder(&format);
        if state.format.as_ref() == Some(&format) {
            return None;
        }
        state.format = Some(format.clone());
        Some(format)
    }
}

impl Consumer {
    /// Gives a new consumer what its way of joining asks for; false when there was nothing.
    fn replay(&mut self, state: &State) -> bool {
        let Some(caps) = &state.caps else { return false };
        let reorders = state.format.as_ref().is_some_and(|f| f.video.reorders);
        let frames = match self.join {
            Join::Live => return false,
            Join::FastForward if !reorders => state.gop.squeezed(),
            Join::FastForward | Join::Backlog => state.gop.frames().to_vec(),
            Join::KeyFrames => state.gop.frames().iter().take(1).cloned().collect(),
        };
        self.needs_key &= frames.is_empty();
        for frame in &frames {
            self.hand_over(frame, caps);
        }
        !frames.is_empty()
    }

    /// Offers a buffer; true when the consumer has just begun to wait for a key frame.
    fn push(&mut self, buffer: &gst::Buffer, caps: &gst::Caps, is_key: bool) -> bool {
        if self.join == Join::KeyFrames && !is_key {
            return false;
        }
        let behind = self.appsrc.current_level_bytes() > QUEUED_BYTES_MAX
            || (self.appsrc.current_level_buffers() > QUEUED_BUFFERS_MIN
                && self.appsrc.current_level_time() > QUEUED_MAX);
        if behind {
            self.stats.dropped_slow.fetch_add(1, Ordering::Relaxed);
            let starved = !self.needs_key;
            self.needs_key = true;
            return starved;
        }
        if self.needs_key && !is_key {
            self.stats.dropped_waiting.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let starved = !self.needs_key;
        self.needs_key = !self.hand_over(buffer, caps);
        self.needs_key && (starved || is_key)
    }

    /// False when the consumer did not take it, which leaves a hole before the next key frame: an
    /// appsrc refuses while it goes to playing, and when it stops.
    fn hand_over(&self, buffer: &gst::Buffer, caps: &gst::Caps) -> bool {
        let sample = gst::Sample::builder().buffer(buffer).caps(caps).build();
        match self.appsrc.push_sample(&sample) {
            Ok(_) => {
                self.stats.buffers.fetch_add(1, Ordering::Relaxed);
                self.stats.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
                true
            }
            Err(_) => {
                self.stats.errors.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// An appsrc as a feed needs it. The feed bounds the queue itself, because appsrc's own leaking
/// would tear a group of pictures apart.
fn configure(appsrc: &gst_app::AppSrc) {
    appsrc.set_format(gst::Format::Time);
    appsrc.set_is_live(true);
    appsrc.set_do_timestamp(false);
    appsrc.set_automatic_eos(false);
    appsrc.set_block(false);
    appsrc.set_max_bytes(0);
    appsrc.set_max_buffers(0);
    appsrc.set_max_time(gst::ClockTime::ZERO);
}

/// Where a node puts media into a feed. Cheap to clone.
#[derive(Clone)]
pub struct Writer(Arc<WriterInner>);

struct WriterInner {
    feed: Feed,
    timeline: Option<Arc<Mutex<Timeline>>>,
    /// Asks the source for a key frame.
    requester: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// Running time of the last buffer, nanoseconds; 0 before the first.
    last_at: AtomicU64,
    has_key: AtomicBool,
    bytes: AtomicU64,
}

impl Writer {
    /// The feed that it writes to.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Makes this the writer whose buffers go through. Pictures continue at its next key frame,
    /// which is asked for.
    pub fn activate(&self) {
        let mut state = self.0.feed.0.lock();
        if state.active.as_ref().is_some_and(|w| Arc::ptr_eq(w, &self.0)) {
            return;
        }
        state.active = Some(self.0.clone());
        state.needs_key = true;
        state.keyframe_asked = None;
        drop(state);
        self.0.feed.request_keyframe();
    }

    /// Whether this writer is the active one.
    pub fn is_active(&self) -> bool {
        let state = self.0.feed.0.lock();
        state.active.as_ref().is_some_and(|w| Arc::ptr_eq(w, &self.0))
    }

    /// Time since the last buffer; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        let last = self.0.last_at.load(Ordering::Relaxed);
        (last > 0).then(|| Duration::from_nanos(clock::now().nseconds().saturating_sub(last)))
    }

    /// Bytes written so far, let through or not.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether decoding could start from this writer: a key frame, or any sound, has come.
    pub fn has_key(&self) -> bool {
        self.0.has_key.load(Ordering::Relaxed)
    }

    /// How to ask this writer's source for a key frame.
    pub fn on_keyframe_request(&self, ask: impl Fn() + Send + Sync + 'static) {
        let mut requester = self.0.requester.lock().unwrap_or_else(PoisonError::into_inner);
        *requester = Some(Box::new(ask));
    }

    /// Writes one buffer: an access unit of video, a packet of audio. Never blocks.
    pub fn push(&self, mut buffer: gst::Buffer, caps: &gst::Caps) {
        let now = clock::now();
        self.0.last_at.store(now.nseconds().max(1), Ordering::Relaxed);
        self.0.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if is_key {
            self.0.has_key.store(true, Ordering::Relaxed);
        }
        self.place_on_clock(buffer.make_mut(), now);
        // Activity is looked at on every buffer: a publisher that is replaced stops at once.
        if self.is_active() {
            self.0.feed.deliver(buffer, caps, is_key);
        } else {
            self.0.feed.0.stats.dropped_standby.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn place_on_clock(&self, buffer: &mut gst::BufferRef, now: gst::ClockTime) {
        let source = buffer.dts_or_pts().unwrap_or(now);
        let offset = match &self.0.timeline {
            None => 0,
            Some(timeline) => {
                let mut timeline = timeline.lock().unwrap_or_else(PoisonError::into_inner);
                let mapped = timeline.map(source.into(), now.into());
                mapped.at.as_nanos() as i128 - i128::from(source.nseconds())
            }
        };
        let moved = |t: gst::ClockTime| {
            let ns = (i128::from(t.nseconds()) + offset).max(0);
            gst::ClockTime::from_nseconds(u64::try_from(ns).unwrap_or(u64::MAX - 1))
        };
        let (pts, dts) = (buffer.pts().or(buffer.dts()).unwrap_or(now), buffer.dts());
        buffer.set_pts(moved(pts));
        buffer.set_dts(dts.map(moved));
    }

    /// Makes an `appsink` write here. Its samples are placed on running time by their segment,
    /// and key frame requests go upstream through it.
    pub fn attach(&self, appsink: &gst_app::AppSink) {
        appsink.set_sync(false);
        appsink.set_async(false);
        appsink.set_max_buffers(0);
        appsink.set_property("wait-on-eos", false);
        appsink.set_enable_last_sample(false);
        let writer = self.clone();
        let on_sample = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let (Some(buffer), Some(caps)) = (running_time_buffer(&sample), sample.caps_owned())
            {
                writer.push(buffer, &caps);
            }
            Ok(gst::FlowSuccess::Ok)
        };
        appsink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
        let sink = appsink.downgrade();
        self.on_keyframe_request(move || {
            let Some(pad) = sink.upgrade().and_then(|s| s.static_pad("sink")) else { return };
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            pad.push_event(event);
        });
    }
}

/// A sample's buffer with its timestamps as running time; `None` when it lies before its segment.
fn running_time_buffer(sample: &gst::Sample) -> Option<gst::Buffer> {
    let mut buffer = sample.buffer_owned()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let running = |t: Option<gst::ClockTime>| match segment.to_running_time_full(t?)? {
        gst::Signed::Positive(t) => Some(t),
        gst::Signed::Negative(_) => Some(gst::ClockTime::ZERO),
    };
    let (pts, dts) = (running(buffer.pts()), running(buffer.dts()));
    let writable = buffer.make_mut();
    writable.set_pts(pts);
    writable.set_dts(dts);
    Some(buffer)
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

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
