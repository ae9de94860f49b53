//! Errors of the store.

use std::path::PathBuf;

use futures::future::BoxFuture;

/// What an operation of a table returns.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the file cannot be created or written.
    #[error("cannot open the database {path}")]
    Open {
        /// Path of the database file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a database, or is one of a newer version.
    #[error("cannot bring the database {path} up to date")]
    Migrate {
        /// Path of the database file.
        path: PathBuf,
        /// The error of the migration.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// The name is taken.
    #[error("`{0}` is already stored")]
    Exists(String),
    /// Other queries are running, and the query did not get its turn in time.
    #[error("too many searches at once")]
    Busy,
    /// The query would take too long.
    #[error("the search takes too long")]
    Costly,
    /// The item to change does not exist.
    #[error("`{0}` is not stored")]
    Missing(String),
    /// The database failed: the disk is full, or a file is damaged.
    #[error("cannot {doing}")]
    Sql {
        /// The operation that failed.
        doing: &'static str,
        /// The SQL error.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    /// Makes the error of an operation from that of the database.
    pub(super) fn sql(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }

    /// The error of an operation whose value has no stored form.
    pub(super) fn encode(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Sql { doing, source: sqlx::Error::Encode(source.into()) }
    }
}
