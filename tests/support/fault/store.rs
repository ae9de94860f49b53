//! A database that another process keeps locked.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

/// The writer's lock, held. Readers continue, as SQLite's write-ahead log permits.
pub(crate) struct StoreLock(SqliteConnection);

impl StoreLock {
    /// Takes the lock on the database of the appliance with this state folder.
    pub(crate) async fn take(state: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(state.join("auralink.db"));
        let mut connection = options.connect().await.expect("the appliance has made it");
        let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await;
        begun.expect("no other process is writing");
        Self(connection)
    }

    /// Releases the lock, with nothing changed.
    pub(crate) async fn release(mut self) {
        let ended = sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await;
        ended.expect("the lock was held");
        self.0.close().await.expect("the file closes");
    }
}
