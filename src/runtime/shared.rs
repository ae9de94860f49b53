//! What all streams share, and the register of streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};

use super::command::Command;
use super::held::Held;
use super::refusals::Refusals;
use super::{Event, Options, Speech, StreamSpec, StreamState, Wanted};
use crate::media::{Codec, IgnorePoison, Secret, StreamName};
use crate::process::encoders::Encoders;
use crate::telemetry::LogLimiter;

/// What all streams share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) encoders: Encoders,
    pub(super) speech: Speech,
    /// The best encoder per codec, for the plan.
    pub(super) best_encoders: BTreeMap<Codec, String>,
    pub(super) events: broadcast::Sender<Event>,
    /// Decides which refusals are logged.
    pub(super) refusal_log: LogLimiter,
    /// Viewers in all streams.
    pub(super) viewers: AtomicUsize,
    /// Streams that have failed and wait to be started again.
    pub(super) failed: AtomicUsize,
    pub(super) stopping: AtomicBool,
    /// Streams whose files are opened only after the admin starts or changes them.
    pub(super) held: Held,
    /// Read on every request of every protocol; written when a stream is added or removed.
    pub(super) streams: std::sync::RwLock<BTreeMap<StreamName, StreamEntry>>,
}

/// One stream as seen from outside its task.
#[derive(Clone)]
pub(super) struct StreamEntry {
    /// The wanted state; the stream follows its changes.
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) thumbnail: watch::Sender<Option<Bytes>>,
    /// What viewers see, set by the stream's task.
    pub(super) state: watch::Sender<StreamState>,
    pub(super) refusals: Arc<Refusals>,
}

impl StreamEntry {
    pub(super) fn spec(&self) -> Arc<StreamSpec> {
        Arc::clone(&self.wanted.borrow().spec)
    }
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn entry(&self, name: &StreamName) -> Option<StreamEntry> {
        let streams = self.streams.read().ignore_poison();
        streams.get(name).cloned()
    }

    /// Finds the stream whose token a caller gave in place of a stream name.
    pub(super) fn entry_of_token(&self, shown: &StreamName) -> Option<StreamEntry> {
        let shown = Secret::new(shown.as_str());
        let opens = |entry: &&StreamEntry| {
            let spec = entry.spec();
            let access = &spec.access;
            let tokens = [&access.publish_token, &access.play_token];
            tokens.into_iter().flatten().any(|token| shown.matches(token))
        };
        let streams = self.streams.read().ignore_poison();
        streams.values().find(opens).cloned()
    }
}
