//! Table `setting`.

use super::SqliteBackend;
use crate::control::store::{Error, SettingTable, StoreFuture};

impl SettingTable for SqliteBackend {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            sqlx::query_scalar("SELECT value FROM setting WHERE key = ?")
                .bind(key)
                .fetch_optional(&self.writer)
                .await
                .map_err(Error::sql("read a setting"))
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO setting (key, value) VALUES (?, ?) \
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            let set = sqlx::query(sql).bind(key).bind(value).execute(&self.writer).await;
            set.map(|_| ()).map_err(Error::sql("change a setting"))
        })
    }
}
