//! Tokens of the API: made, listed and deleted, in the database and for those who send them.
//!
//! A token is stored first and accepted then; one that is deleted is refused at once, and stays so over
//! a restart.

use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::auth::{ApiToken, Auth, Role};
use super::problem::{Code, Error};
use super::store::{self, ApiTokenTable, StoredApiToken};
use crate::media::new_token;

/// Most tokens of an appliance.
const API_TOKENS_MAX: usize = 1000;

/// Longest name of a token, in characters.
const NAME_CHARS_MAX: usize = 100;

/// Longest life of a token that expires, in days: ten years.
const LIFE_DAYS_MAX: u32 = 3650;

/// Characters of an id.
const ID_CHARS: usize = 12;

/// A token that is wanted.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenWish {
    /// What it is for, 1-100 characters.
    #[schema(example = "ingest of studio 1", min_length = 1, max_length = 100)]
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Days until it expires, 1-3650; it does not expire if left out.
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<u32>,
}

/// A handle to the tokens of the API. Cheap to clone.
#[derive(Clone)]
pub struct TokenService(Arc<Inner>);

struct Inner {
    table: Arc<dyn ApiTokenTable>,
    auth: Auth,
    /// Held during a change, so that database and memory stay in step.
    changing: Mutex<()>,
}

impl TokenService {
    /// The service with the stored tokens, which `auth` accepts from now on. A token with a role of a
    /// newer program is kept and refused.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn load(table: Arc<dyn ApiTokenTable>, auth: Auth) -> Result<Self, store::Error> {
        for stored in table.api_tokens().await? {
            match accepted(&stored) {
                Some(token) => auth.add_api_token(token),
                None => {
                    tracing::warn!(id = stored.id, role = stored.role, "a token is not accepted")
                }
            }
        }
        Ok(Self(Arc::new(Inner { table, auth, changing: Mutex::default() })))
    }

    /// Every token, the oldest first.
    ///
    /// # Errors
    /// `not_stored`.
    pub async fn list(&self) -> Result<Vec<StoredApiToken>, Error> {
        self.0.table.api_tokens().await.map_err(|e| unreadable(&e))
    }

    /// Makes a token. Returns it with its secret, which nothing keeps.
    ///
    /// # Errors
    /// `invalid`, `limit_reached`, `not_stored`.
    pub async fn create(&self, wish: TokenWish) -> Result<(StoredApiToken, String), Error> {
        let name = wish.name.trim().to_owned();
        if name.is_empty()
            || name.chars().count() > NAME_CHARS_MAX
            || name.contains(char::is_control)
        {
            return Err(invalid(
                "name: 1-100 characters on one line, by which people know the token",
            ));
        }
        if wish.days.is_some_and(|days| !(1..=LIFE_DAYS_MAX).contains(&days)) {
            return Err(invalid("days: 1-3650, or leave it out for a token that does not expire"));
        }
        let _changing = self.0.changing.lock().await;
        if self.list().await?.len() >= API_TOKENS_MAX {
            let message = format!("there are {API_TOKENS_MAX} tokens, which is the limit");
            return Err(Error::new(Code::LimitReached, message, "delete those that nobody uses"));
        }
        let (secret, mut id) = (new_token(), new_token());
        id.truncate(ID_CHARS);
        let now = Utc::now();
        let created_at = now.duration_trunc(TimeDelta::milliseconds(1)).unwrap_or(now);
        let stored = StoredApiToken {
            id,
            name,
            role: wish.role.as_str().to_owned(),
            sha256: Auth::digest(&secret),
            created_at,
            expires_at: wish.days.map(|days| created_at + TimeDelta::days(days.into())),
        };
        self.0.table.insert_api_token(&stored).await.map_err(|e| unwritable(&e))?;
        if let Some(token) = accepted(&stored) {
            self.0.auth.add_api_token(token);
        }
        Ok((stored, secret))
    }

    /// Deletes a token: it is refused from now on, and the sessions that it opened end.
    ///
    /// # Errors
    /// `unknown_token`, `not_stored`.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let deleted = self.0.table.delete_api_token(id).await.map_err(|e| unwritable(&e))?;
        self.0.auth.remove_api_token(id);
        if deleted {
            return Ok(());
        }
        let message = "there is no token of this id";
        Err(Error::new(
            Code::UnknownToken,
            message,
            "GET /api/v1/tokens lists the tokens there are",
        ))
    }
}

fn accepted(stored: &StoredApiToken) -> Option<ApiToken> {
    let expires_at: Option<DateTime<Utc>> = stored.expires_at;
    ApiToken::new(stored.id.clone(), Role::read(&stored.role)?, &stored.sha256, expires_at)
}

fn invalid(message: &str) -> Error {
    Error::new(Code::Invalid, message, "correct the field; /api/v1/openapi.json describes it")
}

fn unreadable(error: &store::Error) -> Error {
    Error::new(Code::NotStored, "the database cannot be read", error.hint()).logged(error)
}

fn unwritable(error: &store::Error) -> Error {
    let message = "the database cannot be written; nothing was changed";
    Error::new(Code::NotStored, message, error.hint()).logged(error)
}
