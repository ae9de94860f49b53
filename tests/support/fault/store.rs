//! A database that another process writes to and does not let go of.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

/// The lock of the writer, held. Readers go on, as SQLite's write-ahead log lets them.
pub(crate) struct StoreLock(SqliteConnection);

impl StoreLock {
    /// Takes the lock of the appliance with this state folder.
    pub(crate) async fn take(state: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(state.join("auralink.db"));
        let mut connection = options.connect().await.expect("the appliance has made it");
        let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await;
        begun.expect("no other process is writing");
        Self(connection)
    }

    /// Lets it go, with nothing changed.
    pub(crate) async fn release(mut self) {
        let ended = sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await;
        ended.expect("the lock was held");
        self.0.close().await.expect("the file closes");
    }
}
