//! Authentication for the API: the admin token, sessions of the page, and the interface for
//! accounts.
//!
//! Every request behind [`guard`] has a [`Principal`]; its permissions are [`Scope`]s. Accounts,
//! roles and tenants will add kinds of principals and implement [`Principal::may`] from their
//! tables, without a change to any handler.

mod guard;
mod hosts;
mod limiter;
mod sessions;
pub mod signed;
mod token;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use guard::{COOKIE, check_reader, guard, session_cookie};
pub use hosts::Hosts;

use axum::http::{HeaderMap, header};

use crate::control::problem::{Code, Error};
use crate::media::{IgnorePoison, Secret};

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read the state.
    View,
    /// Change streams, outputs and recordings; read their tokens.
    Operate,
    /// Ask as another appliance of the cluster: how a stream is played, and the load.
    Cluster,
}

/// An authenticated caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Has sent the admin token.
    Admin,
    /// The page, signed in with the admin token.
    Session,
    /// Any client: the configuration sets `api.open = true`.
    Anybody,
    /// Another appliance, which has sent the token of the cluster.
    Appliance,
}

impl Scope {
    /// The word in the OpenAPI document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Cluster => "cluster",
        }
    }
}

impl Principal {
    /// Whether the principal has this permission.
    pub fn may(self, scope: Scope) -> bool {
        match (self, scope) {
            (Self::Admin | Self::Session | Self::Anybody, _) => true,
            (Self::Appliance, Scope::Cluster) => true,
            (Self::Appliance, Scope::View | Scope::Operate) => false,
        }
    }
}

/// Authenticates callers. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    admin: token::Digest,
    /// That of the cluster, if this appliance is in one.
    cluster: Option<token::Digest>,
    open: bool,
    hosts: Hosts,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logins: limiter::Limiter,
    /// Wrong bearer tokens, counted only to limit the log.
    bearers: limiter::Limiter,
    sessions: sessions::Sessions,
}

impl Auth {
    /// Takes the stored SHA-256 of the admin token as 64 hexadecimal digits, the token of the cluster
    /// (empty: there is none), whether the API is open, and the host names that browsers may use.
    /// `None` if the text is not such a digest.
    pub fn new(admin_sha256: &str, cluster: &Secret, open: bool, hosts: Hosts) -> Option<Self> {
        let admin = token::parse_digest(admin_sha256)?;
        let cluster = (!cluster.is_empty()).then(|| token::digest(cluster.expose()));
        Some(Self(Arc::new(Inner { admin, cluster, open, hosts, state: Mutex::default() })))
    }

    /// SHA-256 of a token in its stored form.
    pub fn digest(token: &str) -> String {
        token::hex(&token::digest(token))
    }

    /// Refuses a request whose host is not the appliance. Browsers always send `Host`, so a request
    /// without it is accepted.
    ///
    /// # Errors
    /// `unknown_host`.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), Error> {
        let Some(host) = headers.get(header::HOST) else { return Ok(()) };
        if host.to_str().is_ok_and(|host| self.0.hosts.contain(host)) {
            return Ok(());
        }
        let host = String::from_utf8_lossy(host.as_bytes());
        Err(Error::new(
            Code::UnknownHost,
            format!("`{host}` is not known as a name of this appliance"),
            "call it by its address, or add the name to `allowed_hosts` in [api]",
        ))
    }

    /// Whether the configuration opens the API to all clients.
    pub fn is_open(&self) -> bool {
        self.0.open
    }

    /// Opens a session if the admin token is right. Returns its cookie.
    ///
    /// # Errors
    /// `unauthorized`; `too_many_requests` after repeated wrong tokens. The right token is always
    /// accepted: a guesser behind the same address must not lock the admin out, and guessing 256
    /// bits is hopeless. A sign-in does not reset the count, so that the guesser gets no new tries.
    pub fn sign_in(&self, shown: &str, from: IpAddr) -> Result<String, Error> {
        let now = Instant::now();
        let mut state = self.lock();
        if token::matches(shown, &self.0.admin) {
            return Ok(state.sessions.open(now));
        }
        if let Some(pause) = state.logins.wait(from, now) {
            return Err(too_many(pause));
        }
        if state.logins.failed(from, now) {
            tracing::warn!(%from, "sign-in with a wrong token refused");
        }
        Err(wrong_token())
    }

    /// Ends a session.
    pub fn sign_out(&self, cookie: &str) {
        self.lock().sessions.close(cookie);
    }

    /// Lifetime of a session.
    pub fn session_life() -> Duration {
        sessions::SESSION_LIFE
    }

    /// Whether this cookie belongs to an open session.
    pub fn knows_session(&self, cookie: &str) -> bool {
        self.lock().sessions.knows(cookie, Instant::now())
    }

    /// Who sent this token with a request. No caller has to wait: a guesser behind the same NAT
    /// must not lock out the admin's programs, and guessing 192 bits is hopeless.
    pub(super) fn check_token(&self, shown: &str, from: IpAddr) -> Result<Principal, Error> {
        if token::matches(shown, &self.0.admin) {
            return Ok(Principal::Admin);
        }
        if self.0.cluster.is_some_and(|cluster| token::matches(shown, &cluster)) {
            return Ok(Principal::Appliance);
        }
        if self.lock().bearers.failed(from, Instant::now()) {
            tracing::warn!(%from, "a request with a wrong admin token");
        }
        Err(wrong_token())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The tables are valid after each operation, so a poisoned lock is still usable.
        self.0.state.lock().ignore_poison()
    }
}

fn wrong_token() -> Error {
    Error::new(
        Code::Unauthorized,
        "this is not the admin token",
        "it was printed at the first start; `auralink token --new` makes another",
    )
}

fn too_many(pause: Duration) -> Error {
    let seconds = u32::try_from(pause.as_secs() + 1).unwrap_or(u32::MAX);
    Error::new(
        Code::TooManyRequests,
        "too many wrong tokens from this address",
        format!("wait {seconds} s and use the token that was printed at the first start"),
    )
    .retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens_and_guessers_wait() {
        let token = crate::media::new_token();
        let cluster = Secret::new("the token of the cluster");
        let auth = Auth::new(&Auth::digest(&token), &cluster, false, Hosts::default());
        let auth = auth.expect("a digest");
        let (friend, guesser) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let cookie = auth.sign_in(&token, friend).expect("right token");
        assert!(auth.knows_session(&cookie));
        auth.sign_out(&cookie);
        assert!(!auth.knows_session(&cookie));
        let codes: Vec<Code> = (0..7)
            .map(|n| auth.sign_in(&format!("guess {n}"), guesser).expect_err("wrong").code())
            .collect();
        assert_eq!(codes[..5], [Code::Unauthorized; 5]);
        assert_eq!(codes[5..], [Code::TooManyRequests; 2]);
        assert!(auth.sign_in(&token, guesser).is_ok(), "the right token passes at once");
        let late = auth.sign_in("guess 8", guesser).expect_err("has to wait").code();
        assert_eq!(late, Code::TooManyRequests, "and gives a guesser no new tries");
        assert!(auth.check_token(&token, guesser).is_ok());
        assert!(auth.sign_in(&token, friend).is_ok());
        let other = auth.check_token(cluster.expose(), friend).expect("another appliance");
        assert!(other.may(Scope::Cluster) && !other.may(Scope::View) && !other.may(Scope::Operate));
        assert!(auth.sign_in(cluster.expose(), friend).is_err(), "it is no admin");
        let alone = Auth::new(&Auth::digest(&token), &Secret::default(), false, Hosts::default());
        let alone = alone.expect("a digest");
        assert!(alone.check_token("", friend).is_err(), "without a token there is no cluster");
        assert!(alone.check_token(cluster.expose(), friend).is_err());
    }
}
