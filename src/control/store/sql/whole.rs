//! The database as a whole.

use futures::future::BoxFuture;

use super::SqlTables;
use super::schema::WRITE_TEST;
use crate::control::store::{Database, SettingTable, StoreFuture};
use crate::media::new_token;

/// Size of its value, in tokens of 48 characters: 16 KiB, as much as a large change writes.
const WRITE_TEST_TOKENS: usize = 341;

impl Database for SqlTables {
    fn try_write(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            // Different bytes each time: a database does not write what is unchanged, and
            // compresses what repeats itself.
            let bytes: String = (0..WRITE_TEST_TOKENS).map(|_| new_token()).collect();
            self.set(WRITE_TEST, &bytes).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.backend.close()
    }
}
