//! The state shared by the handlers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use crate::control::Metrics;
use crate::control::archive::Archive;
use crate::control::auth::Auth;
use crate::control::auth::signed::Verifier;
use crate::control::machine::Machine;
use crate::control::origin::{Endpoints, PublicAddress};
use crate::control::stream_service::StreamService;
use crate::control::token_service::TokenService;
use crate::egress::record::Catalogue;
use crate::runtime::Supervisor;
use crate::webrtc::Registry;

/// State shared by the handlers.
#[derive(Clone)]
pub struct ApiState(Arc<Parts>, Catalogue);

/// The parts of [`ApiState`].
pub struct Parts {
    /// Changes to streams.
    pub stream_service: StreamService,
    /// Authentication for the API.
    pub auth: Auth,
    /// Tokens of the API.
    pub token_service: TokenService,
    /// Verifier of Jigasi's tokens. `None` if no key is configured.
    pub jitsi: Option<Verifier>,
    /// The caption archive.
    pub archive: Archive,
    /// Metrics of this process.
    pub metrics: Metrics,
    /// Publishers and viewers by WebRTC.
    pub sessions: Registry,
    /// Capabilities of the machine.
    pub machine: Machine,
    /// Ports for publishers and players.
    pub endpoints: Endpoints,
    /// The address by which clients reach them.
    pub public: PublicAddress,
    /// Folder of the recordings.
    pub recordings: std::path::PathBuf,
    /// `/metrics` needs no token.
    pub open_metrics: bool,
    /// Whether all streams are started; until then changes are refused.
    pub started: Arc<AtomicBool>,
    /// Ends long-running answers at shutdown.
    pub shutdown: CancellationToken,
}

impl ApiState {
    /// Builds the state.
    pub fn new(parts: Parts) -> Self {
        let catalogue = Catalogue::new(&parts.recordings);
        Self(Arc::new(parts), catalogue)
    }

    /// The running streams.
    pub(super) fn supervisor(&self) -> &Supervisor {
        self.0.stream_service.supervisor()
    }

    /// The recordings.
    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.1
    }
}

impl std::ops::Deref for ApiState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<ApiState> for Auth {
    fn from_ref(state: &ApiState) -> Self {
        state.auth.clone()
    }
}

impl FromRef<ApiState> for Catalogue {
    fn from_ref(state: &ApiState) -> Self {
        state.catalogue().clone()
    }
}
