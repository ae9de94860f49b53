//! Table `api_token`.

use chrono::DateTime;

use super::schema::{API_TOKEN, insert};
use super::{Access, SqlTables, Statement, Value};
use crate::control::store::{ApiTokenTable, Error, StoreFuture, StoredApiToken};

impl ApiTokenTable for SqlTables {
    fn api_tokens(&self) -> StoreFuture<'_, Vec<StoredApiToken>> {
        const DOING: &str = "read the tokens of the API";
        Box::pin(async move {
            let sql = "SELECT id, name, role, sha256, created_ms, expires_ms FROM api_token \
                       ORDER BY created_ms, id";
            let rows = self.rows(Access::Read, DOING, Statement::new(sql)).await?;
            let read = rows.into_iter().map(|mut row| {
                Ok(StoredApiToken {
                    id: row.text()?,
                    name: row.text()?,
                    role: row.text()?,
                    sha256: row.text()?,
                    created_at: DateTime::from_timestamp_millis(row.integer()?).unwrap_or_default(),
                    expires_at: row.optional_integer()?.and_then(DateTime::from_timestamp_millis),
                })
            });
            read.collect::<Result<_, _>>().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn insert_api_token<'a>(&'a self, token: &'a StoredApiToken) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let values = vec![
                Value::from(&token.id),
                Value::from(&token.name),
                Value::from(&token.role),
                Value::from(&token.sha256),
                Value::from(token.created_at.timestamp_millis()),
                Value::from(token.expires_at.map(|end| end.timestamp_millis())),
            ];
            let insert = insert(self.backend.dialect(), &API_TOKEN, API_TOKEN.columns, [values]);
            match self.change("store a token of the API", [insert]).await {
                Err(Error::Sql { source: sqlx::Error::Database(e), .. })
                    if e.is_unique_violation() =>
                {
                    Err(Error::Exists(token.id.clone()))
                }
                inserted => inserted.map(drop),
            }
        })
    }

    fn delete_api_token<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let delete = Statement::new("DELETE FROM api_token WHERE id = $1").value(id);
            Ok(self.change("delete a token of the API", [delete]).await? > 0)
        })
    }
}
