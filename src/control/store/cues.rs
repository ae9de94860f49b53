//! Tables `cue` and `cue_retention`: the caption archive and how long cues are kept.

use super::StoreFuture;
use super::query::Query;

/// A stored cue.
#[derive(Clone, Debug, PartialEq)]
pub struct CueRow {
    /// Name of the stream.
    pub stream: String,
    /// Language tag.
    pub language: String,
    /// The number of the cue in its feed.
    pub number: i64,
    /// Running time of its start, in milliseconds.
    pub running_ms: i64,
    /// Start of the speech, in milliseconds since 1970.
    pub start_ms: i64,
    /// End of the speech, in milliseconds since 1970.
    pub end_ms: i64,
    /// The text, without control characters.
    pub text: String,
    /// The words with their times. Empty if the engine does not report words, or if the stored
    /// words cannot be read.
    pub words: Vec<CueWord>,
    /// Whether a sentence ends with this cue.
    pub ends_sentence: bool,
    /// The engine that made it.
    pub engine: String,
    /// The engine's model, if it has one.
    pub model: Option<String>,
    /// Label of who spoke, if it is told.
    pub speaker: Option<String>,
}

/// A word of a stored cue.
#[derive(Clone, Debug, PartialEq)]
pub struct CueWord {
    /// The text, without control characters.
    pub text: String,
    /// Start of the word, in milliseconds after the start of the cue.
    pub start_offset_ms: i64,
    /// End of the word, in milliseconds after the start of the cue.
    pub end_offset_ms: i64,
    /// Confidence of the engine, 0-1.
    pub confidence: f32,
}

/// Search criteria; `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Words that the cue must contain.
    pub query: Option<Query>,
    /// Only cues of this stream.
    pub stream: Option<String>,
    /// Only cues in this language, in any region.
    pub language: Option<String>,
    /// Only cues that end after this time, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Only cues that begin before this time, in milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// Only cues with a lower id than this one.
    pub before: Option<i64>,
    /// Maximum number of results.
    pub limit: u32,
}

/// A cue that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Id in the archive; cues stored later have higher ids.
    pub id: i64,
    /// The stored cue.
    pub cue: CueRow,
    /// Byte ranges of the matches in its text, in order.
    pub marks: Vec<std::ops::Range<usize>>,
}

/// The caption archive. Words match whatever their case and accents. Reads take a bounded time.
pub trait CueTable: Send + Sync {
    /// Stores cues, all or none.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql), also if a confidence is not a finite number.
    fn insert<'a>(&'a self, cues: &'a [CueRow]) -> StoreFuture<'a, ()>;

    /// Searches cues, newest first.
    ///
    /// # Errors
    /// [`Error::Busy`](super::Error::Busy), [`Error::Costly`](super::Error::Costly),
    /// [`Error::Sql`](super::Error::Sql).
    fn search<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<Found>>;

    /// The cues of one stream in order of speech, up to the limit. None without a stream; the
    /// query and `before` are ignored.
    ///
    /// # Errors
    /// Those of [`Self::search`].
    fn transcript<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<CueRow>>;

    /// The languages of the cues of one stream, in order. The query, `before` and the limit are
    /// ignored.
    ///
    /// # Errors
    /// Those of [`Self::search`].
    fn languages<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<String>>;

    /// Deletes the existing cues of a stream that began before a time in milliseconds since 1970.
    /// Returns their number. Works in small steps, so that others can write in between.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql); earlier steps are not undone.
    fn delete<'a>(&'a self, stream: &'a str, before_ms: i64) -> StoreFuture<'a, u64>;

    /// Sets for how many days the cues of a stream are kept; 0 keeps them forever.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn set_retention<'a>(&'a self, stream: &'a str, days: u32) -> StoreFuture<'a, ()>;

    /// The streams whose cues expire, by name, with the number of days that cues are kept.
    ///
    /// # Errors
    /// [`Error::Sql`](super::Error::Sql).
    fn retention(&self) -> StoreFuture<'_, Vec<(String, u32)>>;
}
