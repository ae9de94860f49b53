//! What the tables want of a database.

use std::time::Duration;

use futures::future::BoxFuture;

use super::statement::{Row, Statement};
use crate::control::store::query::Query;
use crate::control::store::{Error, StoreFuture};

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::store) enum Access {
    /// A small read.
    Read,
    /// A change.
    Change,
    /// A large read for a caller that waits: bounded in time and in number.
    Search,
    /// Reads that all see the same moment.
    Snapshot,
    /// One large change, without a time limit.
    Restore,
}

/// Statements that count all or not at all. Dropped before [`Self::commit`] it changes nothing.
pub(in crate::control::store) trait Transaction: Send {
    /// The rows of a query.
    fn rows(&mut self, statement: Statement) -> BoxFuture<'_, Result<Vec<Row>, sqlx::Error>>;

    /// Runs a change. Returns how many rows it concerned.
    fn execute(&mut self, statement: Statement) -> BoxFuture<'_, Result<u64, sqlx::Error>>;

    /// Makes its changes last.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), sqlx::Error>>;
}

/// A database with the schema of its migrations.
pub(in crate::control::store) trait Backend: Send + Sync {
    /// What is written differently for this database.
    fn dialect(&self) -> &'static Dialect;

    /// Begins a transaction; `doing` names it in errors.
    ///
    /// # Errors
    /// [`Error::Busy`] if a search does not get its turn, [`Error::Away`], [`Error::Sql`].
    fn begin(&self, access: Access, doing: &'static str) -> StoreFuture<'_, Box<dyn Transaction>>;

    /// Maximum time from the beginning of a transaction to its end. `None` if there is no limit.
    fn time_limit(&self, access: Access) -> Option<Duration>;

    /// The error for one of the database.
    fn error(&self, doing: &'static str, source: sqlx::Error) -> Error;

    /// Closes all connections after what is under way.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The points at which the SQL of the databases differs.
pub(in crate::control::store) struct Dialect {
    /// `FROM` and `WHERE` of a search for words, up to the expression of the full-text index.
    pub(in crate::control::store) matching: &'static str,
    /// What follows the expression.
    pub(in crate::control::store) matched: &'static str,
    /// The id by which a search for words is ordered.
    pub(in crate::control::store) matching_id: &'static str,
    /// The expression of the index for a query. `None` if the index does not help to find it.
    pub(in crate::control::store) expression: fn(&Query) -> Option<String>,
    /// The function that finds the place of a text in another one, 0 if it is not there.
    pub(in crate::control::store) place_of: &'static str,
    /// What of the full-text index is written with a cue; the database writes the rest.
    pub(in crate::control::store) cue_index: Option<CueIndex>,
    /// Brings the counter of `cue.id` behind ids that were written with their rows.
    pub(in crate::control::store) follow_ids: Option<&'static str>,
    /// Brings what the database knows of the size of its tables up to date.
    pub(in crate::control::store) analyze: &'static str,
}

/// A column of `cue` for the full-text index.
pub(in crate::control::store) struct CueIndex {
    /// Its name.
    pub(in crate::control::store) column: &'static str,
    /// Its type, as a cast of a text.
    pub(in crate::control::store) cast: &'static str,
    /// Its value for the text of a cue.
    pub(in crate::control::store) of: fn(&str) -> String,
}
