//! Errors of the store.

use futures::future::BoxFuture;
use sqlx::migrate::MigrateError;

/// What an operation of a table returns.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened or brought up to date.
    #[error("cannot use the database {database}: {problem} ({hint})")]
    Open {
        /// Its path or address, without a password.
        database: String,
        /// What is wrong.
        problem: String,
        /// What the admin can do about it.
        hint: String,
    },
    /// The database server does not answer, or refuses connections.
    #[error("cannot {doing}: the database does not answer")]
    Away {
        /// The operation that failed.
        doing: &'static str,
        /// The SQL error.
        #[source]
        source: sqlx::Error,
    },
    /// The name is taken.
    #[error("`{0}` is already stored")]
    Exists(String),
    /// Other queries are running, and the query did not get its turn in time.
    #[error("too many searches at once")]
    Busy,
    /// The operation would take too long.
    #[error("the database takes too long for it")]
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
    /// What the admin can do where changes cannot be stored.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Away { .. } => {
                "start the database server, or see to the network: the appliance connects again by itself"
            }
            _ => {
                "free space on the disk of the database (`state_dir`, or PostgreSQL's), and see that it is \
                 not read-only"
            }
        }
    }

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

/// What is wrong where a migration fails, and what to do.
pub(super) fn migration_problem(error: &MigrateError) -> (String, &'static str) {
    match error {
        MigrateError::VersionMissing(_) => (
            "a newer program has changed its tables".into(),
            "install that program again, or restore a backup that this one has made",
        ),
        MigrateError::VersionMismatch(version) => (
            format!("migration {version} was another one when it ran"),
            "it was made by another build: install that one, or restore a backup",
        ),
        other => (other.to_string(), "free space on its disk, and see that it can be written"),
    }
}
