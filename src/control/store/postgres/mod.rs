//! PostgreSQL: several connections that change and several that search, each in a pool of its own.
//!
//! Every operation is a transaction that sets its own time limits (`SET LOCAL`), so that nothing
//! stays in a connection, and a later setting per transaction has one place. A connection that fails
//! is replaced at the next operation. Words are found by a GIN index. Opening the database runs the
//! migrations of `migrations/postgres/`.

mod connect;
mod tsearch;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::sql::{Access, Backend, CueIndex, Dialect, Row, Statement, Transaction};
use super::{Config, Error, StoreFuture};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How long an operation waits for a connection, a new one included.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// How long a search waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(3);

/// The server aborts a search after 2 s and a change after 5 s. Where it does not even do that, it is
/// given up after this time.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Begins a transaction and sets its limits, in one round trip.
fn begin_sql(access: Access) -> &'static str {
    match access {
        Access::Read => "BEGIN READ ONLY; SET LOCAL statement_timeout = 5000",
        Access::Change => "BEGIN; SET LOCAL statement_timeout = 5000",
        // The plan depends on how common the words are.
        Access::Search => {
            "BEGIN READ ONLY; SET LOCAL statement_timeout = 2000; \
             SET LOCAL plan_cache_mode = force_custom_plan"
        }
        Access::Snapshot => {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0"
        }
        Access::Restore => "BEGIN; SET LOCAL statement_timeout = 0",
    }
}

static DIALECT: Dialect = Dialect {
    matching: " FROM cue WHERE cue.word_index @@ ",
    matched: "::tsquery",
    matching_id: "cue.id",
    expression: tsearch::expression,
    place_of: "strpos",
    cue_index: Some(CueIndex { column: "word_index", cast: "::tsvector", of: tsearch::vector }),
    follow_ids: Some(
        "SELECT setval(pg_get_serial_sequence('cue', 'id'), \
         greatest((SELECT coalesce(max(id), 0) FROM cue), nextval(pg_get_serial_sequence('cue', 'id'))))",
    ),
    analyze: "ANALYZE stream, setting, stream_access, api_token, cue, cue_retention",
};

/// The connections to a database.
pub(super) struct PostgresBackend {
    changes: PgPool,
    searches: PgPool,
    /// Searches that may run at once: a caller that waits for others is told so, one that waits for
    /// the server is told that.
    turns: Arc<Semaphore>,
}

impl PostgresBackend {
    /// Connects to the database, creates what is missing in it and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        let options = connect::prepare(config, &MIGRATIONS).await?;
        let searches = (config.connections_max / 2).max(1);
        let changes = config.connections_max.saturating_sub(searches).max(1);
        let pool = |most: u32| {
            let pool = PgPoolOptions::new().max_connections(most).acquire_timeout(CONNECTION_WAIT);
            pool.connect_lazy_with(options.clone())
        };
        Ok(Self {
            changes: pool(changes),
            searches: pool(searches),
            turns: Arc::new(Semaphore::new(usize::try_from(searches).unwrap_or(1))),
        })
    }

    async fn connection(
        &self,
        access: Access,
        doing: &'static str,
    ) -> Result<PostgresTransaction, Error> {
        let mut turn = None;
        if access == Access::Search {
            let waited = timeout(TURN_MAX, self.turns.clone().acquire_owned()).await;
            // The semaphore is never closed.
            turn = waited.map_err(|_| Error::Busy)?.ok();
        }
        let pool = if access == Access::Search { &self.searches } else { &self.changes };
        let connection = pool.acquire().await.map_err(|source| self.error(doing, source))?;
        Ok(PostgresTransaction { connection, ended: false, _turn: turn })
    }
}

impl Backend for PostgresBackend {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin(&self, access: Access, doing: &'static str) -> StoreFuture<'_, Box<dyn Transaction>> {
        Box::pin(async move {
            let mut transaction = self.connection(access, doing).await?;
            let begin = sqlx::raw_sql(begin_sql(access)).execute(&mut *transaction.connection);
            let begun =
                timeout(ANSWER_MAX, begin).await.unwrap_or_else(|late| Err(late_error(late)));
            begun.map_err(|source| self.error(doing, source))?;
            Ok(Box::new(transaction) as _)
        })
    }

    fn time_limit(&self, access: Access) -> Option<Duration> {
        match access {
            Access::Read | Access::Change | Access::Search => Some(ANSWER_MAX),
            Access::Snapshot | Access::Restore => None,
        }
    }

    fn error(&self, doing: &'static str, source: sqlx::Error) -> Error {
        if connect::is_away(&source) {
            return Error::Away { doing, source };
        }
        match &source {
            sqlx::Error::Database(e) if e.code().as_deref() == Some(connect::CANCELED) => {
                Error::Costly
            }
            _ => Error::Sql { doing, source },
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::join!(self.changes.close(), self.searches.close());
        })
    }
}

fn late_error(late: tokio::time::error::Elapsed) -> sqlx::Error {
    sqlx::Error::Io(late.into())
}

/// A transaction on a connection of its own. If it does not come to its end, the connection is closed,
/// and the server undoes it.
struct PostgresTransaction {
    connection: PoolConnection<Postgres>,
    ended: bool,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Transaction for PostgresTransaction {
    fn rows(&mut self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, sqlx::Error>> {
        Box::pin(async move {
            let rows = statement.query::<Postgres>()?.fetch_all(&mut *self.connection).await?;
            rows.iter().map(Row::read).collect()
        })
    }

    fn execute(&mut self, statement: Statement) -> BoxFuture<'_, Result<u64, sqlx::Error>> {
        Box::pin(async move {
            let done = statement.query::<Postgres>()?.execute(&mut *self.connection).await?;
            Ok(done.rows_affected())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), sqlx::Error>> {
        Box::pin(async move {
            sqlx::raw_sql("COMMIT").execute(&mut *self.connection).await?;
            self.ended = true;
            Ok(())
        })
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::TestServer;
