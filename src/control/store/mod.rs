//! Persistent data: one trait per table, and a backend that implements them.
//!
//! | trait | file | data |
//! |---|---|---|
//! | [`StreamTable`] | `streams` | streams created by the API |
//! | [`SettingTable`] | `settings` | single values |
//! | [`AccessTable`] | `access` | tokens generated for streams of the configuration file |
//! | [`ApiTokenTable`] | `api_tokens` | tokens of the API |
//! | [`CueTable`] | `cues`, `query` | the caption archive |
//! | [`Database`] | `database` | what concerns all tables |
//!
//! `sql` implements them once, in SQL for every database. A backend is a folder beside it, `sqlite` and
//! `postgres`: it connects, runs transactions and says what is written differently. No other code
//! knows which one is in use; `config` says which one it is. `format` has the JSON that columns
//! contain, with its versions. `words` has what counts as a word. `contract` has the tests that every
//! backend passes.
//!
//! What every backend guarantees:
//!
//! - A write that returns `Ok` survives a power cut. A write that returns an error changes nothing.
//! - A read sees every write that returned before it began.
//! - A large read or deletion does not delay the writes of others for long.

mod access;
mod api_tokens;
mod config;
mod copy;
mod cues;
mod database;
mod error;
mod format;
mod postgres;
mod query;
mod settings;
mod sql;
mod sqlite;
mod streams;
mod words;

use std::path::Path;
use std::sync::Arc;

pub use access::{AccessTable, Tokens};
pub use api_tokens::{ApiTokenTable, StoredApiToken};
pub use config::Config;
pub use copy::{CopiedTable, CopyError};
pub use cues::{CueRow, CueTable, CueWord, Found, Search};
pub use database::Database;
pub use error::{Error, StoreFuture};
pub use query::{Query, QueryError};
pub use settings::{ADMIN_TOKEN_SHA256, SettingTable};
pub use streams::{StoredStream, StreamTable};

use postgres::PostgresBackend;
use sql::SqlTables;
use sqlite::SqliteBackend;

/// The tables of one database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// Streams created by the API.
    pub streams: Arc<dyn StreamTable>,
    /// Single values.
    pub settings: Arc<dyn SettingTable>,
    /// Tokens generated for streams of the configuration file.
    pub access: Arc<dyn AccessTable>,
    /// Tokens of the API.
    pub api_tokens: Arc<dyn ApiTokenTable>,
    /// The caption archive.
    pub cues: Arc<dyn CueTable>,
    /// What concerns all tables.
    pub database: Arc<dyn Database>,
    tables: SqlTables,
}

impl Store {
    /// Opens the database of the configuration, which is SQLite in this folder if it names none.
    /// Creates what is missing and brings the tables up to date.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub async fn open(config: &Config, folder: &Path) -> Result<Self, Error> {
        let tables = if config.url.is_empty() {
            SqlTables::new(Arc::new(SqliteBackend::open(folder).await?))
        } else {
            SqlTables::new(Arc::new(PostgresBackend::open(config).await?))
        };
        Ok(Self::on(tables))
    }

    /// The store with these tables.
    fn on(tables: SqlTables) -> Self {
        let shared = Arc::new(tables.clone());
        Self {
            streams: shared.clone(),
            settings: shared.clone(),
            access: shared.clone(),
            api_tokens: shared.clone(),
            cues: shared.clone(),
            database: shared,
            tables,
        }
    }

    /// Writes a backup of all tables, as they are at one moment, into a new file. Changes go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`CopyError`]; there is no file then.
    pub async fn back_up(&self, file: &Path) -> Result<Vec<CopiedTable>, CopyError> {
        copy::back_up(&self.tables, file).await
    }

    /// Writes all tables from a backup, whatever database it was made of. The database has to be
    /// empty, unless the backup is to `replace` what is there.
    ///
    /// # Errors
    /// [`CopyError`]; nothing is changed then.
    pub async fn restore(&self, file: &Path, replace: bool) -> Result<Vec<CopiedTable>, CopyError> {
        copy::restore(&self.tables, file, replace).await
    }

    /// Finishes pending writes and closes the database.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod contract;
