//! Table `setting`: single values.

use super::StoreFuture;

/// Key of the admin token's SHA-256, in hexadecimal digits.
pub const ADMIN_TOKEN_SHA256: &str = "admin_token_sha256";

/// Single values, each with a key.
pub trait SettingTable: Send + Sync {
    /// A value. `None` if it is not set.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<String>>;

    /// Sets a value; replaces the previous one.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> StoreFuture<'a, ()>;
}
