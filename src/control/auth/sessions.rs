//! Sessions of the page: a cookie instead of the token.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::token::{self, Digest};
use crate::media::new_token;

/// A session ends after this time, even if it is in use.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Maximum number of sessions. Beyond it the oldest ends.
const SESSIONS_MAX: usize = 256;

/// Open sessions, by the hash of their cookie. Held in memory: a restart signs all users out.
#[derive(Default)]
pub(super) struct Sessions {
    begun: HashMap<Digest, Instant>,
}

impl Sessions {
    /// Opens a session. Returns its cookie.
    pub(super) fn open(&mut self, now: Instant) -> String {
        self.begun.retain(|_, begun| now.saturating_duration_since(*begun) < SESSION_LIFE);
        if self.begun.len() >= SESSIONS_MAX {
            let oldest = self.begun.iter().min_by_key(|(_, begun)| **begun).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.begun.remove(&oldest);
            }
        }
        let cookie = new_token();
        self.begun.insert(token::digest(&cookie), now);
        cookie
    }

    /// Whether this cookie belongs to an open session. The look-up uses the hash, so that its time
    /// reveals nothing about the cookie.
    pub(super) fn knows(&self, cookie: &str, now: Instant) -> bool {
        let begun = self.begun.get(&token::digest(cookie));
        begun.is_some_and(|begun| now.saturating_duration_since(*begun) < SESSION_LIFE)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, cookie: &str) {
        self.begun.remove(&token::digest(cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_and_their_number_is_bounded() {
        let mut sessions = Sessions::default();
        let start = Instant::now();
        let first = sessions.open(start);
        assert!(sessions.knows(&first, start));
        assert!(!sessions.knows("guess", start));
        assert!(!sessions.knows(&first, start + SESSION_LIFE));
        for n in 0..SESSIONS_MAX {
            sessions.open(start + Duration::from_secs(n as u64 + 1));
        }
        assert_eq!(sessions.begun.len(), SESSIONS_MAX);
        assert!(!sessions.knows(&first, start), "the oldest made room");
        let last = sessions.open(start);
        sessions.close(&last);
        assert!(!sessions.knows(&last, start));
    }
}
