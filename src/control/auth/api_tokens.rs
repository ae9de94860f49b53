//! Tokens of the API in memory: who sent one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::principal::Role;
use super::token::{self, Digest};

/// A token of the API. Its secret is not kept.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// Identifies it.
    pub id: String,
    /// What its holder may do.
    pub role: Role,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<DateTime<Utc>>,
    digest: Digest,
}

impl ApiToken {
    /// A token by its SHA-256 in 64 hexadecimal digits; `None` if it is not that.
    pub fn new(
        id: String,
        role: Role,
        sha256: &str,
        expires_at: Option<DateTime<Utc>>,
    ) -> Option<Self> {
        Some(Self { id, role, expires_at, digest: token::parse_digest(sha256)? })
    }

    fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Tokens by the hash of their secret: the time of a look-up says nothing about the secret.
#[derive(Default)]
pub(super) struct ApiTokens(HashMap<Digest, ApiToken>);

impl ApiTokens {
    pub(super) fn add(&mut self, token: ApiToken) {
        self.0.insert(token.digest, token);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.0.retain(|_, token| token.id != id);
    }

    /// The token with this secret, unless it has expired.
    pub(super) fn find(&self, secret: &str, now: DateTime<Utc>) -> Option<&ApiToken> {
        self.0.get(&token::digest(secret)).filter(|token| token.is_valid(now))
    }

    /// Whether there is a valid token of this id.
    pub(super) fn has(&self, id: &str, now: DateTime<Utc>) -> bool {
        self.0.values().any(|token| token.id == id && token.is_valid(now))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn tokens_are_found_by_their_secret_until_they_expire() {
        let (now, secret) = (Utc::now(), crate::media::new_token());
        let sha256 = token::hex(&token::digest(&secret));
        let end = now + TimeDelta::days(1);
        let made = ApiToken::new("a".into(), Role::Viewer, &sha256, Some(end)).expect("a digest");
        let mut tokens = ApiTokens::default();
        tokens.add(made);
        let role = |tokens: &ApiTokens, now| tokens.find(&secret, now).map(|token| token.role);
        assert_eq!(role(&tokens, now), Some(Role::Viewer));
        assert!(tokens.has("a", now) && !tokens.has("b", now));
        assert!(tokens.find("another", now).is_none());
        assert_eq!(role(&tokens, end), None, "it has expired");
        assert!(!tokens.has("a", end));
        tokens.remove("a");
        assert_eq!(role(&tokens, now), None);
        assert!(ApiToken::new("a".into(), Role::Viewer, "short", None).is_none());
    }
}
