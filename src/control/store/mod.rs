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
//! A backend is a folder beside them: `sqlite`. No other code knows which one is in use. `format`
//! has the JSON that columns contain, with its versions, for all backends. `contract` has the tests
//! that every backend passes.
//!
//! What every backend guarantees:
//!
//! - A write that returns `Ok` survives a power cut. A write that returns an error changes nothing.
//! - A read sees every write that returned before it began.
//! - A large read or deletion does not delay the writes of others for long.

mod access;
mod api_tokens;
mod cues;
mod database;
mod error;
mod format;
mod query;
mod settings;
mod sqlite;
mod streams;

use std::path::Path;
use std::sync::Arc;

pub use access::{AccessTable, Tokens};
pub use api_tokens::{ApiTokenTable, StoredApiToken};
pub use cues::{CueRow, CueTable, CueWord, Found, Search};
pub use database::Database;
pub use error::{Error, StoreFuture};
pub use query::{Query, QueryError};
pub use settings::{ADMIN_TOKEN_SHA256, SettingTable};
pub use streams::{StoredStream, StreamTable};

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
}

impl Store {
    /// Opens the database in this folder, creates what is missing and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Migrate`].
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        SqliteBackend::open(folder).await.map(Self::on)
    }

    /// The tables of this backend.
    fn on<B>(backend: B) -> Self
    where
        B: StreamTable + SettingTable + AccessTable + ApiTokenTable + CueTable + Database + 'static,
    {
        let backend = Arc::new(backend);
        Self {
            streams: backend.clone(),
            settings: backend.clone(),
            access: backend.clone(),
            api_tokens: backend.clone(),
            cues: backend.clone(),
            database: backend,
        }
    }

    /// Finishes pending writes and closes the database.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod contract;
