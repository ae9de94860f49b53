//! Table `cue`: the caption archive, with its full-text index.
//!
//! The index is SQLite's FTS5. Another database would replace this file: its callers see only
//! [`CueRow`], [`Found`], [`Search`] and [`Query`], not how words are found.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use super::query::Query;
use super::{Error, Store};

/// Marks the start of a match in a text from the index. Stored texts have no control characters.
const OPEN: char = '\u{2}';

/// Marks the end of a match.
const CLOSE: char = '\u{3}';

/// Maximum expected duration of a cue, in milliseconds: a cue that overlaps a range begins at most
/// this long before it.
const CUE_MAX_MS: i64 = 10 * 60 * 1000;

/// Rows per deletion, so that other writers wait only a few milliseconds.
const DELETE_MAX: i64 = 200;

/// Seconds per day.
const DAY_S: u64 = 86_400;

/// A stored cue.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
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
    /// `[[word, start, end, confidence], …]`, times in milliseconds after `start_ms`.
    pub words: String,
    /// Whether a sentence ends with this cue.
    pub ends_sentence: bool,
    /// The engine that made it.
    pub engine: String,
    /// The engine's model, if it has one.
    pub model: Option<String>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Id in the archive; cues stored later have higher ids.
    pub id: i64,
    /// The stored cue.
    pub cue: CueRow,
    /// Byte ranges of the matches in its text, in order.
    pub marks: Vec<std::ops::Range<usize>>,
}

/// Columns of [`CueRow`].
const COLUMNS: &str = "cue.stream, cue.language, cue.number, cue.running_ms, cue.start_ms, \
                       cue.end_ms, cue.text, cue.words, cue.ends_sentence, cue.engine, cue.model";

impl Store {
    /// Stores cues, all or none.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn insert_cues(&self, cues: &[CueRow]) -> Result<(), Error> {
        let failed = Error::sql("keep captions");
        let keep = async {
            let mut transaction = self.writer.begin().await?;
            let sql = "INSERT INTO cue (stream, language, number, running_ms, start_ms, end_ms, \
                       text, words, ends_sentence, engine, model) \
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            for cue in cues {
                sqlx::query(sql)
                    .bind(&cue.stream)
                    .bind(&cue.language)
                    .bind(cue.number)
                    .bind(cue.running_ms)
                    .bind(cue.start_ms)
                    .bind(cue.end_ms)
                    .bind(&cue.text)
                    .bind(&cue.words)
                    .bind(cue.ends_sentence)
                    .bind(&cue.engine)
                    .bind(&cue.model)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        keep.await.map_err(failed)
    }

    /// Searches cues, newest first.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Costly`], [`Error::Sql`].
    pub async fn search_cues(&self, search: &Search) -> Result<Vec<Found>, Error> {
        let indexed = search.query.as_ref().filter(|q| !q.expression.is_empty());
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT cue.id, ");
        sql.push(COLUMNS);
        match indexed {
            Some(query) => {
                sql.push(", highlight(cue_text, 0, char(2), char(3)) AS marked ");
                // The index is read from its end, so that a page of a common word costs no more
                // than one of a rare word. CROSS keeps SQLite from querying the index for each cue
                // of a stream instead.
                sql.push("FROM cue_text CROSS JOIN cue ON cue.id = cue_text.rowid ");
                sql.push("WHERE cue_text MATCH ");
                sql.push_bind(&query.expression);
                if let Some(before) = search.before {
                    sql.push(" AND cue_text.rowid < ").push_bind(before);
                }
            }
            None => {
                sql.push(", NULL AS marked FROM cue WHERE TRUE");
                if let Some(before) = search.before {
                    sql.push(" AND cue.id < ").push_bind(before);
                }
            }
        }
        for part in search.query.iter().flat_map(|q| &q.parts) {
            sql.push(" AND instr(cue.text, ").push_bind(part).push(") > 0");
        }
        if let Some(stream) = &search.stream {
            sql.push(" AND cue.stream = ").push_bind(stream);
        }
        narrow(&mut sql, search);
        sql.push(if indexed.is_some() { " ORDER BY cue_text.rowid" } else { " ORDER BY cue.id" });
        sql.push(" DESC LIMIT ").push_bind(search.limit);
        let read = async |connection: &mut PoolConnection<Sqlite>| {
            sql.build().fetch_all(&mut **connection).await
        };
        let rows = self.readers.ask("search captions", read).await?;
        let parts = search.query.as_ref().map_or(&[][..], |q| &q.parts);
        let found: Result<Vec<_>, _> = rows.iter().map(|row| found(row, parts)).collect();
        found.map_err(Error::sql("read captions"))
    }

    /// The cues of a stream in order of speech, up to the limit.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Costly`], [`Error::Sql`].
    pub async fn transcript(&self, search: &Search) -> Result<Vec<CueRow>, Error> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
        sql.push(COLUMNS).push(" FROM cue WHERE cue.stream = ").push_bind(&search.stream);
        if let Some(from) = search.from_ms {
            // A bound for the database index, which does not cover end times.
            sql.push(" AND cue.start_ms >= ").push_bind(from.saturating_sub(CUE_MAX_MS));
        }
        narrow(&mut sql, search);
        sql.push(" ORDER BY cue.start_ms, cue.id LIMIT ").push_bind(search.limit);
        let read = async |connection: &mut PoolConnection<Sqlite>| {
            sql.build_query_as().fetch_all(&mut **connection).await
        };
        self.readers.ask("read a transcript", read).await
    }

    /// The languages of a stream's cues.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Costly`], [`Error::Sql`].
    pub async fn cue_languages(&self, search: &Search) -> Result<Vec<String>, Error> {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "SELECT DISTINCT cue.language FROM cue WHERE cue.stream = ",
        );
        sql.push_bind(&search.stream);
        if let Some(from) = search.from_ms {
            sql.push(" AND cue.start_ms >= ").push_bind(from.saturating_sub(CUE_MAX_MS));
        }
        narrow(&mut sql, search);
        sql.push(" ORDER BY cue.language");
        let read = async |connection: &mut PoolConnection<Sqlite>| {
            sql.build_query_scalar().fetch_all(&mut **connection).await
        };
        self.readers.ask("read the languages of a transcript", read).await
    }

    /// Sets for how many days the cues of a stream are kept; 0 keeps them forever.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn retain_cues(&self, stream: &str, days: u32) -> Result<(), Error> {
        let sql = "INSERT INTO cue_retention (stream, days) VALUES (?, ?) \
                   ON CONFLICT (stream) DO UPDATE SET days = excluded.days";
        let kept = sqlx::query(sql).bind(stream).bind(days).execute(&self.writer).await;
        kept.map(|_| ()).map_err(Error::sql("keep how long captions are kept"))
    }

    /// Deletes expired cues. Returns their number. `cutoff` maps an age to a time in milliseconds
    /// since 1970, or returns `None` if the time is unknown.
    ///
    /// # Errors
    /// [`Error::Sql`]; earlier deletions are not undone.
    pub async fn expire_cues(
        &self,
        cutoff: impl Fn(Duration) -> Option<i64>,
    ) -> Result<u64, Error> {
        let sql = "SELECT stream, days FROM cue_retention WHERE days > 0";
        let streams: Vec<(String, i64)> = sqlx::query_as(sql)
            .fetch_all(&self.writer)
            .await
            .map_err(Error::sql("read how long captions are kept"))?;
        let mut total = 0;
        for (stream, days) in streams {
            let age = Duration::from_secs(u64::try_from(days).unwrap_or(0) * DAY_S);
            if let Some(before_ms) = cutoff(age) {
                total += self.delete_cues(&stream, before_ms).await?;
            }
        }
        Ok(total)
    }

    /// Deletes the existing cues of a stream that began before a time. Returns their number. Works
    /// in small steps, so that others can write in between.
    ///
    /// # Errors
    /// [`Error::Sql`]; earlier deletions are not undone.
    pub async fn delete_cues(&self, stream: &str, before_ms: i64) -> Result<u64, Error> {
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM cue")
            .fetch_one(&self.writer)
            .await
            .map_err(Error::sql("look for captions to delete"))?;
        let sql = "DELETE FROM cue WHERE id IN \
                   (SELECT id FROM cue WHERE stream = ? AND start_ms < ? AND id <= ? LIMIT ?)";
        let mut total = 0;
        loop {
            let query = sqlx::query(sql).bind(stream).bind(before_ms).bind(newest).bind(DELETE_MAX);
            let done = query.execute(&self.writer).await.map_err(Error::sql("delete captions"))?;
            total += done.rows_affected();
            if done.rows_affected() == 0 {
                return Ok(total);
            }
        }
    }
}

/// Conditions common to searches and transcripts.
fn narrow(sql: &mut QueryBuilder<Sqlite>, search: &Search) {
    if let Some(language) = &search.language {
        sql.push(" AND (cue.language = ").push_bind(language.clone());
        // A language tag contains no wildcards.
        sql.push(" OR cue.language LIKE ").push_bind(format!("{language}-%")).push(")");
    }
    if let Some(from) = search.from_ms {
        sql.push(" AND cue.end_ms > ").push_bind(from);
    }
    if let Some(to) = search.to_ms {
        sql.push(" AND cue.start_ms < ").push_bind(to);
    }
}

fn found(row: &SqliteRow, parts: &[String]) -> Result<Found, sqlx::Error> {
    let cue = CueRow::from_row(row)?;
    let marked: Option<String> = row.try_get("marked")?;
    let mut marks = marked.map(|marked| marks(&marked)).unwrap_or_default();
    for part in parts {
        marks.extend(cue.text.match_indices(part).map(|(at, text)| at..at + text.len()));
    }
    marks.sort_by_key(|mark| mark.start);
    Ok(Found { id: row.try_get("id")?, cue, marks })
}

/// Byte ranges of the marks in the text without marks.
fn marks(marked: &str) -> Vec<std::ops::Range<usize>> {
    let (mut found, mut at, mut begun) = (Vec::new(), 0, None);
    for c in marked.chars() {
        match c {
            OPEN => begun = Some(at),
            CLOSE => found.extend(begun.take().map(|begun| begun..at)),
            _ => at += c.len_utf8(),
        }
    }
    found
}

#[cfg(test)]
#[path = "cues_tests.rs"]
mod tests;
