//! Table `stream`: streams created by the API.

use super::StoreFuture;
use crate::runtime::StreamSpec;

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStream {
    /// Name of the stream.
    pub name: String,
    /// What the admin wants of it, or the reason why the stored spec cannot be read.
    pub spec: Result<StreamSpec, String>,
}

/// Streams by name. A row that cannot be read is listed with the reason, and stays until it is
/// updated or deleted: a newer or an older program may read it.
pub trait StreamTable: Send + Sync {
    /// Every stored stream, by name.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn list(&self) -> StoreFuture<'_, Vec<StoredStream>>;

    /// Stores a new stream.
    ///
    /// # Errors
    /// [`Error::Exists`](super::Error::Exists) if the name is taken,
    /// [`Error::Sql`](super::Error::Sql).
    fn insert<'a>(&'a self, spec: &'a StreamSpec) -> StoreFuture<'a, ()>;

    /// Changes a stored stream.
    ///
    /// # Errors
    /// [`Error::Missing`](super::Error::Missing) if it is not stored,
    /// [`Error::Sql`](super::Error::Sql).
    fn update<'a>(&'a self, spec: &'a StreamSpec) -> StoreFuture<'a, ()>;

    /// Deletes a stored stream. Does nothing if it is not stored.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn delete<'a>(&'a self, name: &'a str) -> StoreFuture<'a, ()>;
}
