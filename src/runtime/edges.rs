//! Streams that this appliance has from an origin: started for their first viewer, given up some time
//! after the last.
//!
//! Such a stream is one like any other, with an [`OriginSource`] and with the tokens that its origin
//! told. So every protocol admits its viewers as those of any stream, from memory. The origin is asked
//! again every few seconds, and what it says is in force from then on; when no origin has answered
//! for `cluster.linger_s` the stream ends, so that no token is accepted for longer than that without
//! its origin.

use std::time::Duration;

use super::admission::check_credential;
use super::edge_watch::{access, follow};
use super::shared::{Shared, StreamEntry};
use super::{Error, SourceSpec, StreamSpec, StreamState, Supervisor};
use crate::cluster::{Config, Found, Lookup};
use crate::flow::{AccessRequest, Action, Admission, Refusal, RefusalKind};
use crate::ingress::origin::OriginSource;
use crate::media::{Protocol, Secret, StreamName};

/// How long the first viewers wait until the stream of an origin is on air here.
const ON_AIR_TIMEOUT: Duration = Duration::from_secs(8);

/// The preset of streams that come from an origin: what is made of a stream is made there.
const PRESET: &str = "passthrough";

fn spec_of(name: &StreamName, found: &Found, config: &Config) -> StreamSpec {
    StreamSpec {
        preset: PRESET.into(),
        source: SourceSpec::Origin(OriginSource::default()),
        linger_s: config.linger_s,
        access: access(&found.access),
        ..StreamSpec::new(name.clone())
    }
}

/// How a caller by SRT is admitted within its handshake if an origin may have its stream. `None` if
/// it has to be refused. There is no time to ask, so the caller is connected and then admitted by
/// [`Supervisor::bring`] like any other, or disconnected.
pub(super) fn admit_for_now(shared: &Shared, access_request: &AccessRequest) -> Option<Admission> {
    let AccessRequest { action, protocol, stream, .. } = access_request;
    let origins = &shared.options.origins;
    let plays = *action == Action::Play && *protocol == Protocol::Srt;
    if !plays || origins.is_empty() || shared.is_stopping() {
        return None;
    }
    if shared.entry(stream).is_some() || shared.entry_of_token(stream).is_some() {
        return None;
    }
    match origins.known(stream) {
        Some(Lookup::Nowhere) => None,
        Some(Lookup::Found(found)) => {
            Some(Admission { passphrase: found.access.srt_passphrase.clone().map(Secret::new) })
        }
        Some(Lookup::Unreachable) | None => Some(Admission::default()),
    }
}

impl Supervisor {
    /// Brings the stream of a viewer from an origin, if this appliance lacks it, and waits until it is
    /// on air. Whether the viewer is admitted is left to the gate, except that nothing starts for one
    /// that the origin would refuse.
    ///
    /// # Errors
    /// The refusal by what the origin told, or because it cannot be asked.
    pub(super) async fn bring(&self, access_request: &AccessRequest) -> Result<(), Refusal> {
        let (shared, name) = (self.shared(), &access_request.stream);
        if access_request.action != Action::Play || shared.options.origins.is_empty() {
            return Ok(());
        }
        if let Some(entry) = shared.entry(name) {
            let spec = entry.spec();
            // Nobody waits whom the gate refuses.
            if spec.is_from_origin() && check_credential(&spec.access, access_request).is_ok() {
                on_air(&entry).await;
            }
            return Ok(());
        }
        // A token in the place of a name is not passed on.
        if shared.entry_of_token(name).is_some() {
            return Ok(());
        }
        let found = match shared.options.origins.lookup(name).await {
            Lookup::Found(found) => found,
            // The gate says so.
            Lookup::Nowhere => return Ok(()),
            Lookup::Unreachable => {
                let message = format!("stream `{name}` is not here, and an origin does not answer");
                let hint = "GET /api/v1/cluster tells which; try again in a few seconds";
                return Err(Refusal::new(RefusalKind::Busy, message, hint));
            }
        };
        check_credential(&access(&found.access), access_request)?;
        if !found.access.live {
            let message = format!("nothing is being published to `{name}`");
            let hint = "try again when the publisher is there";
            return Err(Refusal::new(RefusalKind::NotLive, message, hint));
        }
        let entry = self.start_edge(name, &found).map_err(refusal_of)?;
        on_air(&entry).await;
        Ok(())
    }

    /// The stream from its origin, started if it does not run yet.
    fn start_edge(&self, name: &StreamName, found: &Found) -> Result<StreamEntry, Error> {
        let config = self.shared().options.origins.config();
        let wanted = self.check(spec_of(name, found, config))?;
        let (entry, is_new) = self.add_from_origin(wanted, config.streams_max)?;
        if is_new {
            tracing::info!(stream = %name, origin = found.origin, "brought from its origin");
            tokio::spawn(follow(self.clone(), name.clone()));
        }
        Ok(entry)
    }
}

fn refusal_of(error: Error) -> Refusal {
    let hint = "raise `cluster.streams_max` or `limits.streams`, or try another appliance";
    Refusal::new(RefusalKind::Busy, error.to_string(), hint)
}

/// Waits until a stream is on air, for a limited time.
async fn on_air(entry: &StreamEntry) {
    let mut state = entry.state.subscribe();
    let live = state.wait_for(|state| *state != StreamState::Idle);
    // The gate tells the viewer what is missing.
    let _ = tokio::time::timeout(ON_AIR_TIMEOUT, live).await;
}
