//! Table `api_token`: tokens of the API, each with a role.

use chrono::{DateTime, Utc};

use super::StoreFuture;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredApiToken {
    /// Identifies it; no secret.
    pub id: String,
    /// What it is for, as its maker says.
    pub name: String,
    /// Name of its role. One that this program does not know is of a newer one.
    pub role: String,
    /// SHA-256 of the token, in hexadecimal digits.
    pub sha256: String,
    /// When it was made, to the millisecond.
    pub created_at: DateTime<Utc>,
    /// When it expires, likewise; `None` if it does not.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Tokens by id.
pub trait ApiTokenTable: Send + Sync {
    /// Every token, the oldest first.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn api_tokens(&self) -> StoreFuture<'_, Vec<StoredApiToken>>;

    /// Stores a new token.
    ///
    /// # Errors
    /// [`Error::Exists`](super::Error::Exists) if the id is taken, [`Error::Sql`](super::Error::Sql).
    fn insert_api_token<'a>(&'a self, token: &'a StoredApiToken) -> StoreFuture<'a, ()>;

    /// Deletes a token; false if there is none of this id.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn delete_api_token<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool>;
}
