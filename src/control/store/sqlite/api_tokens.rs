//! Table `api_token`.

use chrono::DateTime;

use super::SqliteBackend;
use crate::control::store::{ApiTokenTable, Error, StoreFuture, StoredApiToken};

type Row = (String, String, String, String, i64, Option<i64>);

impl ApiTokenTable for SqliteBackend {
    fn api_tokens(&self) -> StoreFuture<'_, Vec<StoredApiToken>> {
        Box::pin(async move {
            let sql = "SELECT id, name, role, sha256, created_ms, expires_ms FROM api_token \
                       ORDER BY created_ms, id";
            let rows: Vec<Row> = sqlx::query_as(sql)
                .fetch_all(&self.writer)
                .await
                .map_err(Error::sql("read the tokens of the API"))?;
            let read = |(id, name, role, sha256, created_ms, expires_ms): Row| StoredApiToken {
                id,
                name,
                role,
                sha256,
                created_at: DateTime::from_timestamp_millis(created_ms).unwrap_or_default(),
                expires_at: expires_ms.and_then(DateTime::from_timestamp_millis),
            };
            Ok(rows.into_iter().map(read).collect())
        })
    }

    fn insert_api_token<'a>(&'a self, token: &'a StoredApiToken) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO api_token (id, name, role, sha256, created_ms, expires_ms) \
                       VALUES (?, ?, ?, ?, ?, ?)";
            let inserted = sqlx::query(sql)
                .bind(&token.id)
                .bind(&token.name)
                .bind(&token.role)
                .bind(&token.sha256)
                .bind(token.created_at.timestamp_millis())
                .bind(token.expires_at.map(|end| end.timestamp_millis()))
                .execute(&self.writer)
                .await;
            match inserted {
                Ok(_) => Ok(()),
                Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                    Err(Error::Exists(token.id.clone()))
                }
                Err(source) => Err(Error::Sql { doing: "store a token of the API", source }),
            }
        })
    }

    fn delete_api_token<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let deleted = sqlx::query("DELETE FROM api_token WHERE id = ?").bind(id);
            let deleted = deleted.execute(&self.writer).await;
            let deleted = deleted.map_err(Error::sql("delete a token of the API"))?;
            Ok(deleted.rows_affected() > 0)
        })
    }
}
