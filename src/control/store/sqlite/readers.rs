//! Large reads: on connections of their own, each query with a time limit.
//!
//! With the write-ahead log these readers never block a writer. There are few connections, so that
//! searches take a bounded share of the processor.

use std::time::{Duration, Instant};

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::transaction::SqliteTransaction;
use crate::control::store::Error;
use crate::control::store::sql::Access;

/// Maximum number of concurrent queries.
const CONCURRENT_READS_COUNT: u32 = 2;

/// How long a query waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(3);

/// A query that takes longer is aborted.
const READ_MAX: Duration = Duration::from_secs(2);

/// SQLite instructions between two checks of the clock: about a millisecond.
const CHECK_INTERVAL_STEPS: i32 = 10_000;

/// Read-only connections.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    pool: SqlitePool,
    limit: Duration,
}

impl Readers {
    /// Connections to an existing database, opened on demand.
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        let options = options.read_only(true).create_if_missing(false);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONCURRENT_READS_COUNT)
            .acquire_timeout(TURN_MAX)
            .connect_lazy_with(options);
        Self { pool, limit: READ_MAX }
    }

    /// The time after which a search is aborted.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Begins reads on one connection; `doing` names them in errors.
    ///
    /// # Errors
    /// [`Error::Busy`] if they do not get a connection in time, [`Error::Sql`].
    pub(super) async fn begin(
        &self,
        access: Access,
        doing: &'static str,
    ) -> Result<SqliteTransaction, Error> {
        let begun = SqliteTransaction::begin(&self.pool, "BEGIN").await;
        let mut begun = begun.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => Error::Busy,
            source => Error::Sql { doing, source },
        })?;
        let mut handle = begun.connection.lock_handle().await.map_err(Error::sql(doing))?;
        match access {
            Access::Search => {
                let until = Instant::now() + self.limit;
                handle.set_progress_handler(CHECK_INTERVAL_STEPS, move || Instant::now() < until);
            }
            _ => handle.remove_progress_handler(),
        }
        drop(handle);
        Ok(begun)
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::SqliteBackend;
    use super::*;
    use crate::control::store::SettingTable;
    use crate::control::store::sql::{Row, SqlTables, Statement};

    /// A query that runs for minutes.
    const ENDLESS: &str = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n \
                           WHERE x < 10000000000) SELECT count(*) FROM n";

    /// A database whose searches end after this time.
    async fn tables(folder: &tempfile::TempDir, limit: Duration) -> SqlTables {
        let mut backend = SqliteBackend::open(folder.path()).await.expect("opens");
        backend.readers.limit = limit;
        SqlTables::new(Arc::new(backend))
    }

    async fn search(tables: &SqlTables, sql: &'static str) -> Result<Vec<Row>, Error> {
        tables.rows(Access::Search, "count", Statement::new(sql)).await
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_and_the_next_is_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let tables = tables(&folder, Duration::from_millis(200)).await;
        for _ in 0..3 {
            assert!(matches!(search(&tables, ENDLESS).await, Err(Error::Costly)));
        }
        assert_eq!(search(&tables, "SELECT 1").await.expect("answered").len(), 1);
    }

    #[tokio::test]
    async fn readers_hold_up_no_writer_and_cannot_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let slow = tables(&folder, Duration::from_secs(60)).await;
        let (first, second) = (slow.clone(), slow.clone());
        let busy = [
            tokio::spawn(async move { search(&first, ENDLESS).await }),
            tokio::spawn(async move { search(&second, ENDLESS).await }),
        ];
        for n in 0..20 {
            slow.set("key", &n.to_string()).await.expect("written");
        }
        assert_eq!(slow.get("key").await.expect("read").as_deref(), Some("19"));
        assert!(busy.iter().all(|task| !task.is_finished()), "they still read");
        busy.into_iter().for_each(|task| task.abort());
        let fresh = tables(&folder, READ_MAX).await;
        let refused = search(&fresh, "DELETE FROM setting").await;
        assert!(matches!(refused, Err(Error::Sql { .. })), "{refused:?}");
    }
}
