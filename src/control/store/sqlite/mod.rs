//! SQLite: one file in the state folder, in WAL mode with full durability.
//!
//! One connection writes, in order of arrival; large reads use connections of their own. Words are
//! found by the index FTS5. Opening the database runs the migrations of `migrations/sqlite/`.

mod access;
mod api_tokens;
mod cues;
mod fts;
mod readers;
mod settings;
mod streams;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Database, Error, StoreFuture};
use crate::flow::files;
use readers::Readers;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Time that a write waits for its turn, and then for another process that holds the file.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// Key of the setting that [`Database::try_write`] writes.
const WRITE_TEST: &str = "write_test";

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
    /// [`Error::Open`], [`Error::Migrate`].
    pub(super) async fn open(folder: &Path) -> Result<Self, Error> {
        let path = file(folder);
        let prepared = files::within(&path, files::OPEN_MAX, prepare).await;
        let prepared = prepared.map_err(std::io::Error::other).and_then(|done| done);
        prepared.map_err(|source| Error::Open { path: path.clone(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
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
            .map_err(|e| Error::Open { path: path.clone(), source: std::io::Error::other(e) })?;
        MIGRATIONS
            .run(&writer)
            .await
            .map_err(|source| Error::Migrate { path: path.clone(), source })?;
        Ok(Self { writer, readers: Readers::new(options) })
    }
}

impl Database for SqliteBackend {
    fn try_write(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            // Different bytes each time: SQLite does not write unchanged data.
            let sql = "INSERT INTO setting (key, value) VALUES (?, hex(randomblob(8192))) \
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            let written = sqlx::query(sql).bind(WRITE_TEST).execute(&self.writer).await;
            written.map(|_| ()).map_err(Error::sql("write"))
        })
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
