//! The writing side of a feed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;

use super::inner::{Feed, WriterInner};
use crate::flow::caps::{can_start_decoding, is_recovery_point};
use crate::flow::clock;
use crate::flow::gop::Frame;
use crate::media::{IgnorePoison, Kind, Timeline};

/// After a silence longer than this a writer may have been taken off air.
const PAUSE_MIN: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// Writes a node's media into a feed. Cheap to clone.
#[derive(Clone)]
pub struct Writer(Arc<WriterInner>);

impl Writer {
    pub(super) fn new(feed: Feed, timeline: Option<Arc<Mutex<Timeline>>>) -> Self {
        let id = feed.0.next_id.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(WriterInner {
            id,
            feed,
            timeline,
            requester: Mutex::default(),
            listener: Mutex::default(),
            last_at: AtomicU64::new(0),
            step: AtomicU64::new(0),
            past_until: AtomicU64::new(0),
            has_key: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
        });
        inner.feed.enter(id, &inner);
        Self(inner)
    }

    /// An active writer of another feed, which it alone fills, on the timeline of this one and with its
    /// callback for changes.
    pub fn beside(&self, feed: Feed) -> Self {
        let writer = feed.writer(self.0.timeline.clone());
        writer.activate();
        let first = Arc::downgrade(&self.0);
        writer.on_change(move || {
            if let Some(first) = first.upgrade() {
                first.tell_change();
            }
        });
        writer
    }

    /// The feed that it writes to.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Makes this the active writer. Its recent frames go out first, with what decoding needs; if
    /// there are none, video begins with its next key frame, which is requested.
    pub fn activate(&self) {
        self.0.feed.activate(self.0.id);
    }

    /// Time since the last buffer; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        let last = self.0.last_at.load(Ordering::Relaxed);
        (last > 0).then(|| Duration::from_nanos(clock::now().nseconds().saturating_sub(last)))
    }

    /// Time between the last two buffers; `None` before the second.
    pub fn step(&self) -> Option<Duration> {
        let step = self.0.step.load(Ordering::Relaxed);
        (step > 0).then(|| Duration::from_nanos(step))
    }

    /// Bytes written so far, let through or not.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether decoding could start from this writer: a key frame, or any audio, has arrived.
    pub fn has_key(&self) -> bool {
        self.0.has_key.load(Ordering::Relaxed)
    }

    /// Marks media with a time before this one as past: it existed before the node that processes
    /// it. It goes only to consumers that begin in the past ([`Join::Since`]): for others it would
    /// be late.
    ///
    /// [`Join::Since`]: crate::flow::Join::Since
    pub fn past_until(&self, time: gst::ClockTime) {
        self.0.past_until.store(time.nseconds(), Ordering::Relaxed);
    }

    /// Sets the callback for what may change who is on air: the first key frame (or audio), the
    /// first buffer after a pause, a new format. Called on a media thread; it must not block.
    pub fn on_change(&self, tell: impl Fn() + Send + Sync + 'static) {
        let mut listener = self.0.listener.lock().ignore_poison();
        *listener = Some(Box::new(tell));
    }

    /// Sets the callback that asks this writer's source for a key frame.
    pub fn on_keyframe_request(&self, ask: impl Fn() + Send + Sync + 'static) {
        let mut requester = self.0.requester.lock().ignore_poison();
        *requester = Some(Box::new(ask));
    }

    /// Asks this writer's source for a key frame.
    pub fn ask_for_keyframe(&self) {
        self.0.ask_for_keyframe();
    }

    /// Writes one buffer: a video access unit or an audio packet. Never blocks.
    pub fn push(&self, mut buffer: gst::Buffer, caps: &gst::Caps) {
        let now = clock::now();
        let before = self.0.last_at.swap(now.nseconds().max(1), Ordering::Relaxed);
        if before > 0 {
            let step = now.nseconds().saturating_sub(before).max(1);
            self.0.step.store(step, Ordering::Relaxed);
        }
        self.0.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        let flagged = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let is_key = flagged && can_start_decoding(caps, &buffer);
        let recovers = flagged && is_recovery_point(caps, &buffer);
        if !is_key {
            buffer.make_mut().set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        let is_first = is_key && !self.0.has_key.swap(true, Ordering::Relaxed);
        if self.0.feed.kind() == Kind::Audio {
            // Audio is never reordered; a jitter buffer sets the arrival time as decode time, which
            // MPEG-TS would carry and players complain about.
            let writable = buffer.make_mut();
            writable.set_pts(writable.pts().or(writable.dts()));
            writable.set_dts(None);
        }
        self.place_on_clock(buffer.make_mut(), now);
        let caps = caps.clone();
        let past_until = self.0.past_until.load(Ordering::Relaxed);
        let is_past = buffer.dts_or_pts().is_some_and(|t| t.nseconds() < past_until);
        let frame = Frame { buffer, caps, is_key, recovers, arrived: now, is_past, sent: false };
        let changed = self.0.feed.take(self.0.id, frame);
        if changed || is_first || now.nseconds().saturating_sub(before) > PAUSE_MIN.nseconds() {
            self.0.tell_change();
        }
    }

    fn place_on_clock(&self, buffer: &mut gst::BufferRef, now: gst::ClockTime) {
        let source = buffer.dts_or_pts().unwrap_or(now);
        let offset = match &self.0.timeline {
            None => 0,
            Some(timeline) => {
                let mut timeline = timeline.lock().ignore_poison();
                let at = timeline.map(self.0.feed.kind(), source.into(), now.into());
                at.as_nanos() as i128 - i128::from(source.nseconds())
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

    /// Makes an `appsink` write here. Its segment converts sample times to running time, and key
    /// frame requests go upstream through it.
    pub fn attach(&self, appsink: &gst_app::AppSink) {
        self.attach_before(appsink, |_, _| {});
    }

    /// The same; `see` gets each buffer before it is written.
    pub fn attach_before(
        &self,
        appsink: &gst_app::AppSink,
        see: impl Fn(&gst::Buffer, &gst::Caps) + Send + Sync + 'static,
    ) {
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
                see(&buffer, &caps);
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

/// A sample's buffer with its timestamps as running time; `None` without a time segment.
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
