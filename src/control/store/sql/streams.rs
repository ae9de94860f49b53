//! Table `stream`.

use chrono::Utc;

use super::{Access, SqlTables, Statement};
use crate::control::store::format::{SPEC_VERSION, read_spec, write_spec};
use crate::control::store::{Error, StoreFuture, StoredStream, StreamTable};
use crate::runtime::StreamSpec;

impl StreamTable for SqlTables {
    fn list(&self) -> StoreFuture<'_, Vec<StoredStream>> {
        const DOING: &str = "read the streams";
        Box::pin(async move {
            let sql = "SELECT name, spec_version, spec FROM stream ORDER BY name";
            let rows = self.rows(Access::Read, DOING, Statement::new(sql)).await?;
            let read = rows.into_iter().map(|mut row| {
                let (name, version, json) = (row.text()?, row.integer()?, row.text()?);
                Ok(StoredStream { name, spec: read_spec(version, &json) })
            });
            read.collect::<Result<_, _>>().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn insert<'a>(&'a self, spec: &'a StreamSpec) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let now = Utc::now().to_rfc3339();
            let sql = "INSERT INTO stream (name, spec_version, spec, created_at, updated_at) \
                       VALUES ($1, $2, $3, $4, $4)";
            let insert = Statement::new(sql).value(spec.name.as_str()).value(SPEC_VERSION);
            let insert = insert.value(write_spec(spec)?).value(now);
            match self.change("store a stream", [insert]).await {
                Err(Error::Sql { source: sqlx::Error::Database(e), .. })
                    if e.is_unique_violation() =>
                {
                    Err(Error::Exists(spec.name.to_string()))
                }
                inserted => inserted.map(drop),
            }
        })
    }

    fn update<'a>(&'a self, spec: &'a StreamSpec) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql =
                "UPDATE stream SET spec_version = $1, spec = $2, updated_at = $3 WHERE name = $4";
            let update = Statement::new(sql).value(SPEC_VERSION).value(write_spec(spec)?);
            let update = update.value(Utc::now().to_rfc3339()).value(spec.name.as_str());
            match self.change("change a stream", [update]).await? {
                0 => Err(Error::Missing(spec.name.to_string())),
                _ => Ok(()),
            }
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let delete = Statement::new("DELETE FROM stream WHERE name = $1").value(name);
            self.change("forget a stream", [delete]).await.map(drop)
        })
    }
}
