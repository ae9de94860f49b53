//! The shared data of feeds and their writers. They refer to each other: a writer keeps its feed,
//! and the feed finds its writers and consumers.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tokio::sync::watch;

use super::consumer::Consumer;
use crate::flow::gop::Gop;
use crate::media::{Codec, Format, IgnorePoison, Kind, Timeline};

/// A named, typed fan-out point: one active [`Writer`](super::Writer), any number of consumers.
/// Cheap to clone.
///
/// A consumer that cannot keep up loses its own data, counted, and never holds back the feed.
#[derive(Clone)]
pub struct Feed(pub(super) Arc<Inner>);

/// What all handles of a feed share.
pub(super) struct Inner {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Lock order: media threads take this lock for one fan-out; while it is held, no other lock of
    /// ours is taken, and nothing blocks.
    pub(super) state: Mutex<State>,
    pub(super) format: watch::Sender<Option<Format>>,
    pub(super) stats: FeedStats,
    pub(super) next_id: AtomicU64,
    /// Notified when a writer is dropped.
    pub(super) left: tokio::sync::Notify,
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves a state that is still usable: losing a frame is
        // better than losing the stream.
        self.state.lock().ignore_poison()
    }
}

/// The part of a feed that its lock guards.
#[derive(Default)]
pub(super) struct State {
    /// The writer whose buffers go through; 0 for none.
    pub(super) active: u64,
    /// Recent frames of each writer.
    pub(super) writers: Vec<Lane>,
    pub(super) caps: Option<gst::Caps>,
    pub(super) format: Option<Format>,
    pub(super) consumers: Vec<Consumer>,
    /// Decode time of the newest buffer: a new writer may not go back behind it.
    pub(super) last_dts: Option<gst::ClockTime>,
    pub(super) last_pts: Option<gst::ClockTime>,
    /// The writer has just changed: video starts with a key frame.
    pub(super) needs_key: bool,
    pub(super) keyframe_asked: Option<gst::ClockTime>,
    /// The feed has, or had, a consumer.
    pub(super) is_claimed: bool,
    /// The stream is off air: the writer only finishes its data.
    pub(super) is_ending: bool,
}

impl State {
    /// Recent frames of the active writer; `None` if no writer is active.
    pub(super) fn gop(&mut self) -> Option<&mut Gop> {
        self.lane(self.active).map(|lane| &mut lane.gop)
    }

    /// Whether sent frames are kept. Raw video is large: it is kept only until the first consumer
    /// has it, for an encoder that starts later than the decoder before it.
    pub(super) fn keeps_frames(&self) -> bool {
        let is_raw_video = self.format.as_ref().is_some_and(|f| f.codec == Codec::RawVideo);
        !(is_raw_video && self.is_claimed)
    }

    pub(super) fn awaits_the_last(&mut self) -> bool {
        let active = self.active;
        self.is_ending && self.lane(active).is_some_and(|lane| lane.writer.strong_count() > 0)
    }

    pub(super) fn lane(&mut self, id: u64) -> Option<&mut Lane> {
        self.writers.iter_mut().find(|lane| lane.id == id)
    }
}

/// A feed's record of one writer. The feed does not keep its writer alive: the writer keeps the
/// feed.
pub(super) struct Lane {
    pub(super) id: u64,
    pub(super) writer: Weak<WriterInner>,
    pub(super) gop: Gop,
}

/// What all handles of a writer share.
pub(super) struct WriterInner {
    /// Identifies the writer within its feed.
    pub(super) id: u64,
    pub(super) feed: Feed,
    pub(super) timeline: Option<Arc<Mutex<Timeline>>>,
    /// Asks the source for a key frame.
    pub(super) requester: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// Called when the stream may have to decide anew.
    pub(super) listener: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// Running time of the last buffer, in ns; 0 before the first.
    pub(super) last_at: AtomicU64,
    /// Time between the last two buffers, in ns; 0 before the second.
    pub(super) step: AtomicU64,
    /// Media before this running time, in ns, counts as past.
    pub(super) past_until: AtomicU64,
    pub(super) has_key: AtomicBool,
    pub(super) bytes: AtomicU64,
}

impl WriterInner {
    pub(super) fn ask_for_keyframe(&self) {
        if let Some(ask) = &*self.requester.lock().ignore_poison() {
            ask();
        }
    }

    pub(super) fn tell_change(&self) {
        if let Some(tell) = &*self.listener.lock().ignore_poison() {
            tell();
        }
    }
}

impl Drop for WriterInner {
    fn drop(&mut self) {
        self.feed.0.left.notify_waiters();
    }
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
    /// Buffers that a writer sent while it stood by and that were not needed.
    pub dropped_standby: AtomicU64,
    /// Buffers dropped at a change of writer: before a key frame, or older than what was sent.
    pub dropped_switch: AtomicU64,
    /// Age of the newest buffer when it went through: microseconds between its timestamp and the
    /// clock. The difference between two feeds is the delay of the nodes between them.
    pub age_us: AtomicU64,
}
