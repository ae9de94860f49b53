//! What concerns the whole database rather than one table.

use futures::future::BoxFuture;

use super::StoreFuture;

/// The database behind the tables.
pub trait Database: Send + Sync {
    /// Checks whether changes can be stored, by writing about as much as a large one needs.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn try_write(&self) -> StoreFuture<'_, ()>;

    /// Finishes pending writes and closes all connections. Later operations return
    /// [`Error::Sql`](super::Error::Sql).
    fn close(&self) -> BoxFuture<'_, ()>;
}
