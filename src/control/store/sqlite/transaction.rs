//! Statements that count all or not at all.

use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool};

use crate::control::store::sql::{Row, Statement, Transaction};

/// A transaction on a connection of its own. One that does not end by a commit is undone by closing the
/// connection: after some errors, such as a full disk, SQLite has undone it already, and sqlx would still
/// count it.
pub(super) struct SqliteTransaction {
    pub(super) connection: PoolConnection<Sqlite>,
    is_committed: bool,
}

impl SqliteTransaction {
    /// Begins one by `BEGIN` or one of its kinds.
    pub(super) async fn begin(pool: &SqlitePool, sql: &'static str) -> Result<Self, sqlx::Error> {
        let connection = pool.acquire().await?;
        let mut begun = Self { connection, is_committed: false };
        sqlx::query(sql).execute(&mut *begun.connection).await?;
        Ok(begun)
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if !self.is_committed {
            self.connection.close_on_drop();
        }
    }
}

impl Transaction for SqliteTransaction {
    fn rows(&mut self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, sqlx::Error>> {
        Box::pin(async move {
            let rows = statement.query::<Sqlite>()?.fetch_all(&mut *self.connection).await?;
            rows.iter().map(Row::read).collect()
        })
    }

    fn execute(&mut self, statement: Statement) -> BoxFuture<'_, Result<u64, sqlx::Error>> {
        Box::pin(async move {
            let done = statement.query::<Sqlite>()?.execute(&mut *self.connection).await?;
            Ok(done.rows_affected())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), sqlx::Error>> {
        Box::pin(async move {
            sqlx::query("COMMIT").execute(&mut *self.connection).await?;
            self.is_committed = true;
            Ok(())
        })
    }
}
