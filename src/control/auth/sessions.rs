//! Sessions of the page: a cookie instead of the token.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::principal::Principal;
use super::token::{self, Digest};
use crate::media::new_token;

/// A session ends after this time, even if it is in use.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Maximum number of sessions. Beyond it the oldest ends.
const SESSIONS_MAX: usize = 256;

/// A session: who opened it, and when.
struct Session {
    principal: Principal,
    begun: Instant,
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) < SESSION_LIFE
    }
}

/// Open sessions, by the hash of their cookie. Held in memory: a restart signs all users out.
#[derive(Default)]
pub(super) struct Sessions {
    open: HashMap<Digest, Session>,
}

impl Sessions {
    /// Opens a session. Returns its cookie.
    pub(super) fn open(&mut self, principal: Principal, now: Instant) -> String {
        self.open.retain(|_, session| session.lasts(now));
        if self.open.len() >= SESSIONS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, session)| session.begun);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.open.remove(&oldest);
            }
        }
        let cookie = new_token();
        self.open.insert(token::digest(&cookie), Session { principal, begun: now });
        cookie
    }

    /// Who opened the session with this cookie. The look-up uses the hash, so that its time reveals
    /// nothing about the cookie.
    pub(super) fn principal(&self, cookie: &str, now: Instant) -> Option<&Principal> {
        let session = self.open.get(&token::digest(cookie));
        session.filter(|session| session.lasts(now)).map(|session| &session.principal)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, cookie: &str) {
        self.open.remove(&token::digest(cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_and_their_number_is_bounded() {
        let mut sessions = Sessions::default();
        let start = Instant::now();
        let knows =
            |sessions: &Sessions, cookie: &str, now| sessions.principal(cookie, now).is_some();
        let first = sessions.open(Principal::Admin, start);
        assert!(knows(&sessions, &first, start));
        assert!(!knows(&sessions, "guess", start));
        assert!(!knows(&sessions, &first, start + SESSION_LIFE));
        for n in 0..SESSIONS_MAX {
            sessions.open(Principal::Admin, start + Duration::from_secs(n as u64 + 1));
        }
        assert_eq!(sessions.open.len(), SESSIONS_MAX);
        assert!(!knows(&sessions, &first, start), "the oldest made room");
        let last = sessions.open(Principal::Admin, start);
        sessions.close(&last);
        assert!(!knows(&sessions, &last, start));
    }
}
