//! Whether another appliance should serve a publisher or a viewer by WebRTC.

use std::sync::atomic::Ordering;

use super::admission::check_credential;
use super::edge_watch::access;
use super::shared::StreamEntry;
use super::{StreamState, Supervisor};
use crate::cluster::{Holding, Lookup, Wish};
use crate::flow::{AccessRequest, Action};

/// What a caller wants, in the words of the cluster.
pub(crate) fn wish(action: Action) -> Wish {
    match action {
        Action::Publish => Wish::Publish,
        Action::Play => Wish::Play,
    }
}

impl Supervisor {
    /// Base URL of the appliance that should serve the caller instead of this one. `None` if this one
    /// should, or has to refuse the caller: one whom a stream here would not admit is not sent on.
    pub async fn elsewhere(&self, access_request: &AccessRequest) -> Option<String> {
        let shared = self.shared();
        let (name, wish) = (&access_request.stream, wish(access_request.action));
        // A token in the place of a name is not passed on.
        if shared.is_stopping() || shared.entry_of_token(name).is_some() {
            return None;
        }
        let origins = &shared.options.origins;
        let holding = match shared.entry(name) {
            Some(entry) => holding_of(&entry, access_request)?,
            None if wish == Wish::Play => {
                let Lookup::Found(found) = origins.lookup(name).await else { return None };
                check_credential(&access(&found.access), access_request).ok()?;
                found.access.live.then_some(Holding::Nothing)?
            }
            // Its tokens are known only where it was created.
            None => Holding::Nothing,
        };
        let viewers = shared.viewers.load(Ordering::Relaxed) as u64;
        origins.better(wish, name, holding, viewers)
    }
}

/// What is here of a stream. `None` if the caller may not have it.
fn holding_of(entry: &StreamEntry, access_request: &AccessRequest) -> Option<Holding> {
    let spec = entry.spec();
    let state = *entry.state.borrow();
    let holding = match (spec.is_from_origin(), state) {
        (true, _) => Holding::Copy,
        (false, StreamState::Live | StreamState::Backup) => Holding::OnAir,
        (false, StreamState::Idle | StreamState::Slate | StreamState::Failed) => Holding::Name,
    };
    // What comes from an origin has no publishers here.
    if !(holding == Holding::Copy && access_request.action == Action::Publish) {
        check_credential(&spec.access, access_request).ok()?;
    }
    Some(holding)
}
