//! Publishers and players that use HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;

use super::{Code, Error};
use crate::flow::{AccessRequest, Action, Gate, Refusal, RefusalKind};
use crate::media::{Protocol, Secret, StreamName};
use crate::webrtc::Client;

/// The caller's address and the token that it sent.
pub(super) struct Caller {
    peer: String,
    credential: Option<Secret>,
    agent: Option<String>,
}

/// Longest `User-Agent` that is kept, in bytes; the rest is cut off.
const AGENT_BYTES_MAX: usize = 200;

#[derive(serde::Deserialize)]
struct TokenQuery {
    token: Option<Secret>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    /// Reads the token from `Authorization: Bearer …`, or from `?token=` for players that cannot
    /// set headers.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let bearer = || {
            let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
        };
        let in_query =
            || axum::extract::Query::<TokenQuery>::try_from_uri(&parts.uri).ok()?.0.token;
        let credential = bearer().or_else(in_query).filter(|s| !s.is_empty());
        let agent = parts.headers.get(header::USER_AGENT);
        // Visible ASCII only, which can be cut anywhere.
        let agent = agent.and_then(|v| v.to_str().ok()).filter(|agent| !agent.is_empty());
        let agent = agent.map(|agent| agent.get(..AGENT_BYTES_MAX).unwrap_or(agent).to_owned());
        Ok(Self { peer: address.map(|a| a.0.to_string()).unwrap_or_default(), credential, agent })
    }
}

impl Caller {
    /// The caller's address with port.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// The token that it sent.
    pub(super) fn credential(&self) -> Option<&Secret> {
        self.credential.as_ref()
    }

    /// The caller with another token.
    pub(super) fn with_credential(self, token: Secret) -> Self {
        Self { credential: Some(token), ..self }
    }

    /// The client, for its session.
    pub(super) fn client(&self) -> Client {
        Client { address: self.peer.clone(), agent: self.agent.clone() }
    }

    /// Asks the gate for admission. A viewer's stream may first have to come from another appliance.
    ///
    /// # Errors
    /// The refusal, which the gate has already reported to the stream.
    pub(super) async fn admit<'a>(
        self,
        gate: &'a dyn Gate,
        action: Action,
        protocol: Protocol,
        stream: &StreamName,
    ) -> Result<Admitted<'a>, Error> {
        let Self { peer, credential, .. } = self;
        let access_request =
            AccessRequest { action, protocol, stream: stream.clone(), credential, peer };
        gate.prepare(access_request.clone()).await?;
        gate.admit(&access_request)?;
        Ok(Admitted { gate, access_request })
    }
}

/// A caller that the gate has admitted. Later failures are also reported to the stream.
pub(super) struct Admitted<'a> {
    gate: &'a dyn Gate,
    access_request: AccessRequest,
}

impl Admitted<'_> {
    /// The caller's request to the gate.
    pub(super) fn access_request(&self) -> &AccessRequest {
        &self.access_request
    }

    /// Passes an outcome on. A failure is reported to the stream like a refusal of the gate.
    ///
    /// # Errors
    /// The given error.
    pub(super) fn tell<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.inspect_err(|error| self.gate.report_refusal(&self.access_request, &refusal(error)))
    }
}

/// An HTTP error as a refusal of the gate.
fn refusal(error: &Error) -> Refusal {
    let kind = match error.code() {
        Code::LimitReached | Code::ShuttingDown | Code::StreamLate | Code::Internal => {
            RefusalKind::Busy
        }
        _ => RefusalKind::Unsupported,
    };
    let problem = error.problem();
    Refusal::new(kind, problem.message, problem.hint)
}
