//! Table `setting`: single values.

use super::{Error, Store};

/// Key of the admin token's SHA-256, in hexadecimal digits.
pub const ADMIN_TOKEN_SHA256: &str = "admin_token_sha256";

/// Key of what [`Store::try_write`] writes.
const WRITE_TEST: &str = "write_test";

impl Store {
    /// A value. `None` if it is not set.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn setting(&self, key: &str) -> Result<Option<String>, Error> {
        sqlx::query_scalar("SELECT value FROM setting WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.writer)
            .await
            .map_err(Error::sql("read a setting"))
    }

    /// Sets a value.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn set_setting(&self, key: &str, value: &str) -> Result<(), Error> {
        let sql = "INSERT INTO setting (key, value) VALUES (?, ?) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        sqlx::query(sql)
            .bind(key)
            .bind(value)
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(Error::sql("change a setting"))
    }

    /// Checks whether changes can be stored, by writing about as much as a large one needs.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn try_write(&self) -> Result<(), Error> {
        // Different bytes each time: SQLite does not write unchanged data.
        let sql = "INSERT INTO setting (key, value) VALUES (?, hex(randomblob(8192))) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        sqlx::query(sql)
            .bind(WRITE_TEST)
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(Error::sql("write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_setting_is_kept_and_changed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).await.expect("opens");
        assert_eq!(store.setting("k").await.expect("reads"), None);
        for value in ["one", "two"] {
            store.set_setting("k", value).await.expect("writes");
            assert_eq!(store.setting("k").await.expect("reads").as_deref(), Some(value));
        }
    }
}
