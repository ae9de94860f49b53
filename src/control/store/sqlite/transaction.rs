//! Statements that count all or not at all.

use futures::future::BoxFuture;
use sqlx::Sqlite;

use crate::control::store::sql::{Row, Statement, Transaction};

/// A transaction; SQLite undoes it if it is dropped.
pub(super) struct SqliteTransaction(pub(super) sqlx::Transaction<'static, Sqlite>);

impl Transaction for SqliteTransaction {
    fn rows(&mut self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, sqlx::Error>> {
        Box::pin(async move {
            let rows = statement.query::<Sqlite>()?.fetch_all(&mut *self.0).await?;
            rows.iter().map(Row::read).collect()
        })
    }

    fn execute(&mut self, statement: Statement) -> BoxFuture<'_, Result<u64, sqlx::Error>> {
        Box::pin(async move {
            let done = statement.query::<Sqlite>()?.execute(&mut *self.0).await?;
            Ok(done.rows_affected())
        })
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), sqlx::Error>> {
        Box::pin(self.0.commit())
    }
}
