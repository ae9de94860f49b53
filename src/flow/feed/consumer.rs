//! Consumers of a feed, and how slow ones are handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::flow::clock;
use crate::flow::gop::{Frame, Gop};
use crate::media::Kind;

/// A consumer with more than this queued, for as long as this, is slow: it loses data until the
/// next key frame.
const QUEUED_TIME_MAX: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// Longest queue for a moment: after its connection stood still, a publisher sends its backlog at
/// once, and consumers need some time for it.
const BURST_MAX: gst::ClockTime = gst::ClockTime::from_seconds(25);

/// The bound in bytes, for feeds without durations and for raw video.
const QUEUED_BYTES_MAX: u64 = 24 << 20;

/// A queue this short does not mean slowness, however far apart its timestamps are: a source that
/// returns after a pause leaves such a gap.
const QUEUED_BUFFERS_MIN: u64 = 8;

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

/// How long a consumer that has lost data waits for a key frame. Then it goes on without one:
/// faulty pictures, until the source sends better ones, show more than none.
const KEY_WAIT_MAX: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// How a consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// With the next key frame, which is requested.
    Live,
    /// With the current GOP squeezed to the live edge, for players: a picture at once and no added
    /// latency.
    FastForward,
    /// With the current GOP at its true times, for players and servers that keep them.
    Backlog,
    /// The same with all earlier kept GOPs back to this running time, for files and segments: the
    /// beginning of a new stream is not lost.
    KeptFrom(gst::ClockTime),
    /// With the audio since this running time, as far as it is kept: beside video that begins
    /// there.
    Since(gst::ClockTime),
    /// Key frames only, beginning with the last one: for thumbnails.
    KeyFrames,
}

/// A feed's record of one consumer.
pub(super) struct Consumer {
    pub(super) id: u64,
    pub(super) label: String,
    appsrc: gst_app::AppSrc,
    join: Join,
    kind: Kind,
    needs_key: bool,
    /// Running time of its last loss, while it waits for a key frame.
    lost_at: Option<gst::ClockTime>,
    /// Longest queue allowed: [`QUEUED_TIME_MAX`] plus what it began with.
    queued_max: gst::ClockTime,
    /// Running time at which its queue was last short.
    kept_up: gst::ClockTime,
    pub(super) stats: Arc<LinkStats>,
}

impl Consumer {
    /// A consumer that has received nothing yet.
    pub(super) fn new(
        id: u64,
        label: String,
        appsrc: gst_app::AppSrc,
        join: Join,
        kind: Kind,
    ) -> Self {
        let needs_key = kind == Kind::Video;
        let (kept_up, stats) = (clock::now(), Arc::default());
        Self {
            id,
            label,
            appsrc,
            join,
            kind,
            needs_key,
            lost_at: None,
            queued_max: QUEUED_TIME_MAX,
            kept_up,
            stats,
        }
    }

    /// Gives a new consumer the frames that its [`Join`] asks for; false if there were none.
    /// `reorders`: frames are decoded in another order than they are shown.
    pub(super) fn replay(&mut self, gop: &Gop, caps: &gst::Caps, reorders: bool) -> bool {
        let true_times = || gop.frames().iter().map(|f| f.buffer.clone()).collect();
        let frames: Vec<gst::Buffer> = match self.join {
            Join::Live => return false,
            // Past audio is of no use to consumers that begin now.
            Join::FastForward | Join::Backlog | Join::KeptFrom(_) if self.kind == Kind::Audio => {
                return false;
            }
            Join::FastForward if !reorders => gop.squeezed(),
            Join::FastForward | Join::Backlog => true_times(),
            Join::KeptFrom(from) => gop.kept_from(from).map(|f| f.buffer.clone()).collect(),
            Join::Since(start) => gop.since(start).map(|f| f.buffer.clone()).collect(),
            Join::KeyFrames => gop.frames().iter().take(1).map(|f| f.buffer.clone()).collect(),
        };
        self.needs_key &= frames.is_empty();
        for frame in &frames {
            self.hand_over(frame, caps);
        }
        self.queued_max += self.appsrc.current_level_time();
        !frames.is_empty()
    }

    /// Offers a frame; true if the consumer now needs a key frame to be requested.
    pub(super) fn push(&mut self, frame: &Frame) -> bool {
        let is_key = frame.is_key;
        if (self.join == Join::KeyFrames && !is_key) || (frame.is_past && !self.wants(frame)) {
            return false;
        }
        if self.is_behind(frame.arrived) {
            self.stats.dropped_slow.fetch_add(1, Ordering::Relaxed);
            let starved = !self.needs_key;
            self.needs_key = true;
            self.lost_at = Some(frame.arrived);
            return starved;
        }
        if self.needs_key && !is_key && !self.has_waited(frame.arrived) {
            self.stats.dropped_waiting.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let starved = !self.needs_key;
        self.needs_key = !self.hand_over(&frame.buffer, &frame.caps);
        if !self.needs_key {
            self.lost_at = None;
        }
        self.needs_key && (starved || is_key)
    }

    /// Whether it lost data and has waited in vain for a key frame.
    fn has_waited(&self, now: gst::ClockTime) -> bool {
        self.lost_at.is_some_and(|lost| lost + KEY_WAIT_MAX < now)
    }

    /// Whether it begins early enough to get media of the past.
    fn wants(&self, frame: &Frame) -> bool {
        matches!(self.join, Join::Since(start) if frame.dts().is_some_and(|t| t >= start))
    }

    fn is_behind(&mut self, now: gst::ClockTime) -> bool {
        let queued = self.appsrc.current_level_time();
        if self.appsrc.current_level_buffers() <= QUEUED_BUFFERS_MIN || queued <= self.queued_max {
            self.kept_up = now;
        }
        self.appsrc.current_level_bytes() > QUEUED_BYTES_MAX
            || (self.kept_up < now && queued > BURST_MAX)
            || self.kept_up + QUEUED_TIME_MAX < now
    }

    /// False if the consumer did not take it, which leaves a hole before the next key frame: an
    /// appsrc refuses during its change to PLAYING, and when it stops.
    ///
    /// Each consumer gets its own buffer around the shared memory: `opusparse` of GStreamer 1.22
    /// writes its own time count into buffers that others hold too, and occasionally a packet of
    /// theirs was sent seconds early.
    fn hand_over(&self, buffer: &gst::Buffer, caps: &gst::Caps) -> bool {
        let own = buffer.copy();
        let sample = gst::Sample::builder().buffer(&own).caps(caps).build();
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

/// Configures an appsrc for a feed. The feed bounds the queue, because appsrc's own leaking would
/// tear a GOP apart.
pub(super) fn configure(appsrc: &gst_app::AppSrc) {
    appsrc.set_format(gst::Format::Time);
    appsrc.set_is_live(true);
    appsrc.set_do_timestamp(false);
    appsrc.set_automatic_eos(false);
    appsrc.set_block(false);
    appsrc.set_max_bytes(0);
    appsrc.set_max_buffers(0);
    appsrc.set_max_time(gst::ClockTime::ZERO);
}
