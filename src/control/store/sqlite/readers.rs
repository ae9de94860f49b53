//! Large reads: on connections of their own, each query with a time limit.
//!
//! With the write-ahead log these readers never block a writer. There are few connections, so that
//! searches take a bounded share of the processor.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, SqlitePool};

use crate::control::store::Error;

/// Maximum number of concurrent queries.
const CONCURRENT_READS_COUNT: u32 = 2;

/// How long a query waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(3);

/// A query that takes longer is aborted.
const READ_MAX: Duration = Duration::from_secs(2);

/// SQLite instructions between two checks of the clock: about a millisecond.
const CHECK_INTERVAL_STEPS: i32 = 10_000;

/// SQLite's error code for an aborted query.
const INTERRUPTED: &str = "9";

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

    /// Runs one query on one connection; `doing` names it in errors.
    ///
    /// # Errors
    /// [`Error::Busy`] if it does not get a connection in time, [`Error::Costly`] if it takes too
    /// long, [`Error::Sql`].
    pub(super) async fn ask<T>(
        &self,
        doing: &'static str,
        question: impl AsyncFnOnce(&mut PoolConnection<Sqlite>) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let mut connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => Error::Busy,
            source => Error::Sql { doing, source },
        })?;
        let until = Instant::now() + self.limit;
        let mut handle = connection.lock_handle().await.map_err(Error::sql(doing))?;
        handle.set_progress_handler(CHECK_INTERVAL_STEPS, move || Instant::now() < until);
        drop(handle);
        // The full-text index does not check the clock while it merges lists. The caller is
        // answered in time all the same, and the connection becomes free when the query ends.
        let answer = tokio::time::timeout(self.limit * 2, question(&mut connection)).await;
        match answer {
            Err(_) => Err(Error::Costly),
            Ok(Err(sqlx::Error::Database(e))) if e.code().as_deref() == Some(INTERRUPTED) => {
                Err(Error::Costly)
            }
            Ok(answer) => answer.map_err(Error::sql(doing)),
        }
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::SqliteBackend;
    use super::*;
    use crate::control::store::SettingTable;

    /// A query that runs for minutes.
    const ENDLESS: &str = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n \
                           WHERE x < 10000000000) SELECT count(*) FROM n";

    async fn endless(readers: &Readers) -> Result<i64, Error> {
        let question = async |c: &mut PoolConnection<Sqlite>| {
            sqlx::query_scalar(ENDLESS).fetch_one(&mut **c).await
        };
        readers.ask("count", question).await
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_and_the_next_is_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteBackend::open(folder.path()).await.expect("opens");
        let readers = Readers { limit: Duration::from_millis(200), ..store.readers.clone() };
        for _ in 0..3 {
            assert!(matches!(endless(&readers).await, Err(Error::Costly)));
        }
        let one = async |c: &mut PoolConnection<Sqlite>| {
            sqlx::query_scalar::<_, i64>("SELECT 1").fetch_one(&mut **c).await
        };
        assert_eq!(readers.ask("read one", one).await.expect("answered"), 1);
    }

    #[tokio::test]
    async fn readers_hold_up_no_writer_and_cannot_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteBackend::open(folder.path()).await.expect("opens");
        let readers = Readers { limit: Duration::from_secs(60), ..store.readers.clone() };
        let (first, second) = (readers.clone(), readers.clone());
        let busy = [
            tokio::spawn(async move { endless(&first).await }),
            tokio::spawn(async move { endless(&second).await }),
        ];
        for n in 0..20 {
            store.set("key", &n.to_string()).await.expect("written");
        }
        assert_eq!(store.get("key").await.expect("read").as_deref(), Some("19"));
        assert!(busy.iter().all(|task| !task.is_finished()), "they still read");
        busy.into_iter().for_each(|task| task.abort());
        let write = async |c: &mut PoolConnection<Sqlite>| {
            sqlx::query("DELETE FROM setting").execute(&mut **c).await
        };
        let fresh = SqliteBackend::open(folder.path()).await.expect("opens");
        let refused = fresh.readers.ask("write", write).await;
        assert!(matches!(refused, Err(Error::Sql { .. })), "{refused:?}");
    }
}
