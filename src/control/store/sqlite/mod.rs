//! SQLite: one file in the state folder, in WAL mode with full durability.
//!
//! One connection writes, in order of arrival; large reads use connections of their own. Words are
//! found by the index FTS5. Opening the database runs the migrations of `migrations/sqlite/`.

mod fts;
mod readers;
mod transaction;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::error::migration_problem;
use super::sql::{Access, Backend, Dialect, Transaction};
use super::{Error, StoreFuture};
use crate::flow::files;
use readers::Readers;
use transaction::SqliteTransaction;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Time that a write waits for its turn, and then for another process that holds the file.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// SQLite's error code for an aborted query.
const INTERRUPTED: &str = "9";

static DIALECT: Dialect = Dialect {
    // The index is read from its end, so that a page of a common word costs no more than one of a
    // rare word. CROSS keeps SQLite from querying the index for each cue of a stream instead.
    matching: " FROM cue_text CROSS JOIN cue ON cue.id = cue_text.rowid WHERE cue_text MATCH ",
    matched: "",
    matching_id: "cue_text.rowid",
    expression: fts::expression,
    place_of: "instr",
    // Triggers write the index.
    cue_index: None,
    // A counter follows ids of its own accord (AUTOINCREMENT).
    follow_ids: None,
    analyze: "ANALYZE",
};

/// The connections to the file.
pub(super) struct SqliteBackend {
    /// One connection: callers wait in order, so that none starves.
    writer: SqlitePool,
    readers: Readers,
}

impl SqliteBackend {
    /// Opens `auralink.db` in this folder. Creates both if missing; only its owner can read the
    /// file.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub(super) async fn open(folder: &Path) -> Result<Self, Error> {
        Self::open_file(&file(folder)).await
    }

    /// The same for a file of any name.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub(super) async fn open_file(path: &Path) -> Result<Self, Error> {
        let refused = |problem: String, hint: &str| Error::Open {
            database: path.display().to_string(),
            problem,
            hint: hint.to_owned(),
        };
        let prepared = files::within(path, files::OPEN_MAX, prepare).await;
        let prepared = prepared.map_err(std::io::Error::other).and_then(|done| done);
        let hint = "give the folder to the user that runs auralink, or name another `state_dir`";
        prepared.map_err(|error| refused(error.to_string(), hint))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(WRITE_WAIT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WRITE_WAIT)
            .connect_with(options.clone())
            .await
            .map_err(|error| refused(error.to_string(), hint))?;
        MIGRATIONS.run(&writer).await.map_err(|error| {
            let (problem, hint) = migration_problem(&error);
            refused(problem, hint)
        })?;
        Ok(Self { writer, readers: Readers::new(options) })
    }
}

impl Backend for SqliteBackend {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin(&self, access: Access, doing: &'static str) -> StoreFuture<'_, Box<dyn Transaction>> {
        Box::pin(async move {
            if matches!(access, Access::Search | Access::Snapshot) {
                return Ok(Box::new(self.readers.begin(access, doing).await?) as _);
            }
            // A change takes the lock first: SQLite would not let it wait once it has read.
            let sql = if access == Access::Read { "BEGIN" } else { "BEGIN IMMEDIATE" };
            let begun = SqliteTransaction::begin(&self.writer, sql).await;
            Ok(Box::new(begun.map_err(Error::sql(doing))?) as _)
        })
    }

    fn time_limit(&self, access: Access) -> Option<Duration> {
        // The full-text index does not check the clock while it merges lists. The caller is
        // answered in time all the same, and the connection becomes free when the query ends.
        (access == Access::Search).then(|| self.readers.limit() * 2)
    }

    fn error(&self, doing: &'static str, source: sqlx::Error) -> Error {
        match &source {
            sqlx::Error::Database(e) if e.code().as_deref() == Some(INTERRUPTED) => Error::Costly,
            _ => Error::Sql { doing, source },
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.readers.close().await;
            self.writer.close().await;
        })
    }
}

/// Path of the database in the state folder.
fn file(folder: &Path) -> PathBuf {
    folder.join("auralink.db")
}

fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Created here and not by SQLite, so that other users can never read tokens, not even between
    // creation and chmod. WAL files get the same mode.
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::TestFolder;
