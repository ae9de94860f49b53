//! Streams that do not start automatically, because the appliance crashed during their last start.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::fault::Fault;
use crate::media::{IgnorePoison, StreamName};

/// Names of streams whose files are opened only after the admin starts or changes them.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<BTreeSet<StreamName>>);

impl Held {
    /// Holds these streams from now on.
    pub(super) fn hold(&self, names: impl IntoIterator<Item = StreamName>) {
        self.lock().extend(names);
    }

    /// Releases a stream. Returns true if it was held.
    pub(super) fn release(&self, name: &StreamName) -> bool {
        self.lock().remove(name)
    }

    /// Whether the stream is held.
    pub(super) fn holds(&self, name: &StreamName) -> bool {
        self.lock().contains(name)
    }

    /// The names of all held streams.
    pub(super) fn names(&self) -> BTreeSet<StreamName> {
        self.lock().clone()
    }

    /// Why the stream does not start. `None` if it may start.
    pub(super) fn fault(&self, name: &StreamName) -> Option<Fault> {
        self.holds(name).then(|| {
            Fault::now(
                "not started: the appliance hung or died when it opened this stream's files the \
                 last time",
                format!(
                    "correct its file (or the `ca` of its trunk) by PATCH, or start it as it is by \
                     POST /api/v1/streams/{name}/start"
                ),
            )
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<StreamName>> {
        self.0.lock().ignore_poison()
    }
}
