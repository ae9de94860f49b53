//! What survives a restart: a file per table.
//!
//! SQLite in WAL mode with full durability: one connection writes, in the order of asking, and what
//! may be much to read is read on connections of its own. Migrations run when it is opened.

mod access;
mod cues;
mod query;
mod readers;
mod settings;
mod streams;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use access::Tokens;
pub use cues::{CueRow, Found, Search};
pub use query::{Query, QueryError};
pub use settings::ADMIN_TOKEN_SHA256;

use crate::flow::files;
use readers::Readers;

/// An operation that the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the file cannot be made or written.
    #[error("cannot open the database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no database, or one of a newer version.
    #[error("cannot bring the database {path} up to date")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// The name is taken.
    #[error("`{0}` is already stored")]
    Exists(String),
    /// Others are being answered, and the turn of this question has not come.
    #[error("too many searches at once")]
    Busy,
    /// A question that would take too long.
    #[error("the search takes too long")]
    Costly,
    /// What should be changed is not there.
    #[error("`{0}` is not stored")]
    Missing(String),
    /// SQLite failed: the disk is full, or the file is damaged.
    #[error("cannot {doing}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    fn sql(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }
}

/// A handle on the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// One connection: who waits for it is served in order, so that nothing starves.
    writer: SqlitePool,
    readers: Readers,
}

impl Store {
    /// Opens `auralink.db` in this folder; both are made when missing, the file readable by its
    /// owner only.
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

    /// Finishes what is being written and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Made by us rather than by SQLite, so that tokens are never readable by others, not even for
    // the moment between making the file and changing its mode. WAL files take the same mode.
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
