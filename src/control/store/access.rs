//! Table `stream_access`: tokens generated for streams of the configuration file.

use super::StoreFuture;

/// The tokens of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token of publishers.
    pub publish: String,
    /// Token of viewers.
    pub play: String,
}

/// Tokens by the name of the stream.
pub trait AccessTable: Send + Sync {
    /// The tokens generated for a stream. `None` if there are none.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn tokens<'a>(&'a self, stream: &'a str) -> StoreFuture<'a, Option<Tokens>>;

    /// Stores the tokens generated for a stream; replaces the previous ones.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn set_tokens<'a>(&'a self, stream: &'a str, tokens: &'a Tokens) -> StoreFuture<'a, ()>;
}
