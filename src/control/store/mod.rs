//! Persistent data: one file per table.
//!
//! SQLite in WAL mode with full durability. One connection writes, in order of arrival; large reads
//! use connections of their own. Opening the store runs the migrations.

mod access;
mod cues;
mod error;
mod query;
mod readers;
mod settings;
mod streams;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use access::Tokens;
pub use cues::{CueRow, Found, Search};
pub use error::Error;
pub use query::{Query, QueryError};
pub use settings::ADMIN_TOKEN_SHA256;

use crate::flow::files;
use readers::Readers;

/// A handle to the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// One connection: callers wait in order, so that none starves.
    writer: SqlitePool,
    readers: Readers,
}

impl Store {
    /// Opens `auralink.db` in this folder. Creates both if missing; only its owner can read the
    /// file.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Migrate`].
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("auralink.db");
        let prepared = files::within(&path, files::OPEN_MAX, prepare).await;
        let prepared = prepared.map_err(std::io::Error::other).and_then(|done| done);
        prepared.map_err(|source| Error::Open { path: path.clone(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options.clone())
            .await
            .map_err(|e| Error::Open { path: path.clone(), source: std::io::Error::other(e) })?;
        sqlx::migrate!()
            .run(&writer)
            .await
            .map_err(|source| Error::Migrate { path: path.clone(), source })?;
        Ok(Self { writer, readers: Readers::new(options) })
    }

    /// Finishes pending writes and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
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
mod load_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_for_its_owner_only_and_opens_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for _ in 0..2 {
            let store = Store::open(&folder.path().join("a/b")).await.expect("opens");
            store.close().await;
        }
        let mode = std::fs::metadata(folder.path().join("a/b/auralink.db")).expect("there");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let error = Store::open(Path::new("/proc/nowhere")).await.expect_err("read-only");
        assert!(error.to_string().contains("/proc/nowhere/auralink.db"), "{error}");
    }
}
