//! Authentication for the API: the admin token, tokens with a role, and sessions of the page.
//!
//! Every request behind [`guard`] has a [`Principal`]; its permissions are [`Scope`]s. Accounts and
//! tenants will add kinds of principals and implement [`Principal::may`] from their tables, without
//! a change to any handler.

mod api_tokens;
mod guard;
mod hosts;
mod limiter;
mod principal;
mod sessions;
pub mod signed;
mod token;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use api_tokens::ApiToken;
pub use guard::{COOKIE, check_reader, guard, session_cookie};
pub use hosts::Hosts;
pub use principal::{Principal, Role, Scope};

use axum::http::{HeaderMap, header};
use chrono::Utc;

use crate::control::problem::{Code, Error};
use crate::media::{IgnorePoison, Secret};

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
    api_tokens: api_tokens::ApiTokens,
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

    /// Accepts a token of the API from now on.
    pub fn add_api_token(&self, token: ApiToken) {
        self.lock().api_tokens.add(token);
    }

    /// Refuses a token of the API from now on, and ends the sessions that were opened with it.
    pub fn remove_api_token(&self, id: &str) {
        self.lock().api_tokens.remove(id);
    }

    /// Opens a session if this is the admin token or one of the API. Returns its cookie.
    ///
    /// # Errors
    /// `unauthorized`; `too_many_requests` after repeated wrong tokens. The right token is always
    /// accepted: a guesser behind the same address must not lock the admin out, and guessing 256
    /// bits is hopeless. A sign-in does not reset the count, so that the guesser gets no new tries.
    pub fn sign_in(&self, shown: &str, from: IpAddr) -> Result<String, Error> {
        let now = Instant::now();
        let mut state = self.lock();
        let known = state.api_tokens.find(shown, Utc::now());
        let known = known.map(|t| Principal::Token { id: t.id.clone(), role: t.role });
        let is_admin = token::matches(shown, &self.0.admin);
        if let Some(principal) = known.or(is_admin.then_some(Principal::Admin)) {
            return Ok(state.sessions.open(principal, now));
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

    /// Who opened the session with this cookie; `None` if there is none, or its token is no longer
    /// valid.
    pub fn session(&self, cookie: &str) -> Option<Principal> {
        let state = self.lock();
        let principal = state.sessions.principal(cookie, Instant::now())?;
        match principal {
            Principal::Token { id, .. } if !state.api_tokens.has(id, Utc::now()) => None,
            known => Some(known.clone()),
        }
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
        if let Some(known) = self.lock().api_tokens.find(shown, Utc::now()) {
            return Ok(Principal::Token { id: known.id.clone(), role: known.role });
        }
        if self.lock().bearers.failed(from, Instant::now()) {
            tracing::warn!(%from, "a request with a wrong token");
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
        "this is not the admin token, nor a valid token of the API",
        "the admin token was printed at the first start, and `auralink token --new` makes another; \
         an admin makes others (POST /api/v1/tokens)",
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
        assert_eq!(auth.session(&cookie), Some(Principal::Admin));
        auth.sign_out(&cookie);
        assert_eq!(auth.session(&cookie), None);
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
