//! Table `stream`.

use chrono::Utc;

use super::SqliteBackend;
use crate::control::store::format::{SPEC_VERSION, read_spec, write_spec};
use crate::control::store::{Error, StoreFuture, StoredStream, StreamTable};
use crate::runtime::StreamSpec;

impl StreamTable for SqliteBackend {
    fn list(&self) -> StoreFuture<'_, Vec<StoredStream>> {
        Box::pin(async move {
            let sql = "SELECT name, spec_version, spec FROM stream ORDER BY name";
            let rows: Vec<(String, i64, String)> = sqlx::query_as(sql)
                .fetch_all(&self.writer)
                .await
                .map_err(Error::sql("read the streams"))?;
            let read = |(name, version, json): (String, i64, String)| StoredStream {
                name,
                spec: read_spec(version, &json),
            };
            Ok(rows.into_iter().map(read).collect())
        })
    }

    fn insert<'a>(&'a self, spec: &'a StreamSpec) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let now = Utc::now().to_rfc3339();
            let sql = "INSERT INTO stream (name, spec_version, spec, created_at, updated_at) \
                       VALUES (?, ?, ?, ?, ?)";
            let inserted = sqlx::query(sql)
                .bind(spec.name.as_str())
                .bind(SPEC_VERSION)
                .bind(write_spec(spec)?)
                .bind(&now)
                .bind(&now)
                .execute(&self.writer)
                .await;
            match inserted {
                Ok(_) => Ok(()),
                Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                    Err(Error::Exists(spec.name.to_string()))
                }
                Err(source) => Err(Error::Sql { doing: "store a stream", source }),
            }
        })
    }

    fn update<'a>(&'a self, spec: &'a StreamSpec) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "UPDATE stream SET spec_version = ?, spec = ?, updated_at = ? WHERE name = ?";
            let updated = sqlx::query(sql)
                .bind(SPEC_VERSION)
                .bind(write_spec(spec)?)
                .bind(Utc::now().to_rfc3339())
                .bind(spec.name.as_str())
                .execute(&self.writer)
                .await
                .map_err(Error::sql("change a stream"))?;
            match updated.rows_affected() {
                0 => Err(Error::Missing(spec.name.to_string())),
                _ => Ok(()),
            }
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "DELETE FROM stream WHERE name = ?";
            let deleted = sqlx::query(sql).bind(name).execute(&self.writer).await;
            deleted.map(|_| ()).map_err(Error::sql("forget a stream"))
        })
    }
}
