//! Who publishes and plays over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;

use super::{Code, Error};
use crate::flow::{Action, Gate, Hello, Refusal, RefusalKind};
use crate::media::{Secret, StreamName};

/// Who is calling, and the token that was shown.
pub(super) struct Caller {
    peer: String,
    credential: Option<Secret>,
}

#[derive(serde::Deserialize)]
struct TokenQuery {
    token: Option<Secret>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    /// The token comes as `Authorization: Bearer …`, or as `?token=` from players that cannot set
    /// headers.
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
        Ok(Self { peer: address.map(|a| a.0.to_string()).unwrap_or_default(), credential })
    }
}

impl Caller {
    /// The caller's address, with its port.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// Asks the gate.
    ///
    /// # Errors
    /// The gate's refusal, which it has told the stream of.
    pub(super) fn admit<'a>(
        self,
        gate: &'a dyn Gate,
        action: Action,
        protocol: &'static str,
        stream: &StreamName,
    ) -> Result<Admitted<'a>, Error> {
        let Self { peer, credential } = self;
        let hello = Hello { action, protocol, stream: stream.clone(), credential, peer };
        gate.admit(&hello)?;
        Ok(Admitted { gate, hello })
    }
}

/// A caller that the gate has let in. What goes wrong from then on is for the stream to know too.
pub(super) struct Admitted<'a> {
    gate: &'a dyn Gate,
    hello: Hello,
}

impl Admitted<'_> {
    /// How it introduced itself.
    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Passes an outcome on; a failure is told to the owner of the stream, like a refusal of the gate.
    ///
    /// # Errors
    /// The same.
    pub(super) fn tell<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.inspect_err(|error| self.gate.report_refusal(&self.hello, &refusal(error)))
    }
}

/// An answer of HTTP as a refusal of the gate.
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
