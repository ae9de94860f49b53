//! Streams that do not start by themselves: the appliance did not survive their last start.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::fault::Fault;
use crate::media::StreamName;

/// Names of streams whose files are not opened until the admin says so.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<BTreeSet<StreamName>>);

impl Held {
    /// These are held from now on.
    pub(super) fn hold(&self, names: impl IntoIterator<Item = StreamName>) {
        self.lock().extend(names);
    }

    /// This one may start. True when it was held.
    pub(super) fn release(&self, name: &StreamName) -> bool {
        self.lock().remove(name)
    }

    /// Whether this one is held.
    pub(super) fn holds(&self, name: &StreamName) -> bool {
        self.lock().contains(name)
    }

    /// Those that are held.
    pub(super) fn names(&self) -> BTreeSet<StreamName> {
        self.lock().clone()
    }

    /// Why a stream does not start; `None` when it may.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
