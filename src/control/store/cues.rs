//! Table `cue`: what was said, with its index of words.
//!
//! The index is SQLite's FTS5. Another database takes the place of this file: its callers see only
//! [`CueRow`], [`Found`], [`Search`] and [`Query`], nothing of how words are found.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use super::query::Query;
use super::{Error, Store};

/// What stands before a word that was looked for, in a text from the index. Texts that are kept
/// have no control characters.
const OPEN: char = '\u{2}';

/// What stands behind it.
const CLOSE: char = '\u{3}';

/// The longest cue that is expected, in milliseconds: how far before a range one may begin that
/// reaches into it.
const CUE_MAX_MS: i64 = 10 * 60 * 1000;

/// Rows that are deleted at once: others write in between, after some milliseconds.
const DELETE_MAX: i64 = 200;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A cue as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CueRow {
    /// The stream.
    pub stream: String,
    /// Its language tag.
    pub language: String,
    /// The number that its feed gave it.
    pub number: i64,
    /// Running time of its beginning, in milliseconds.
    pub running_ms: i64,
    /// When it began, in milliseconds since 1970.
    pub start_ms: i64,
    /// When it ended, in milliseconds since 1970.
    pub end_ms: i64,
    /// What was said, without control characters.
    pub text: String,
    /// `[[word, start, end, confidence], …]`, times in milliseconds after `start_ms`.
    pub words: String,
    /// Whether a sentence ends with it.
    pub ends_sentence: bool,
    /// The engine that heard it.
    pub engine: String,
    /// Its model.
    pub model: Option<String>,
}

/// Which cues to look for; `None` takes all.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Words that have to be in them.
    pub query: Option<Query>,
    /// Only of this stream.
    pub stream: Option<String>,
    /// Only of this language, whatever its region.
    pub language: Option<String>,
    /// Only those that end after this time, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Only those that begin before this time.
    pub to_ms: Option<i64>,
    /// Only those kept before this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A cue that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in the archive; what was kept later has a higher one.
    pub id: i64,
    /// The cue.
    pub cue: CueRow,
    /// Where the words that were looked for are in its text, in bytes, in order.
    pub marks: Vec<std::ops::Range<usize>>,
}

/// Columns of [`CueRow`].
const COLUMNS: &str = "cue.stream, cue.language, cue.number, cue.running_ms, cue.start_ms, \
                       cue.end_ms, cue.text, cue.words, cue.ends_sentence, cue.engine, cue.model";

impl Store {
    /// Keeps cues, all or none of them.
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

    /// Looks for cues, newest first.
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
                // than one of a rare word. CROSS keeps SQLite from asking the index about each cue
                // of a stream instead, one by one.
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

    /// The cues of a stream in the order in which they were said, at most so many.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Costly`], [`Error::Sql`].
    pub async fn transcript(&self, search: &Search) -> Result<Vec<CueRow>, Error> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
        sql.push(COLUMNS).push(" FROM cue WHERE cue.stream = ").push_bind(&search.stream);
        if let Some(from) = search.from_ms {
            // For the sake of the index, which knows nothing of ends.
            sql.push(" AND cue.start_ms >= ").push_bind(from.saturating_sub(CUE_MAX_MS));
        }
        narrow(&mut sql, search);
        sql.push(" ORDER BY cue.start_ms, cue.id LIMIT ").push_bind(search.limit);
        let read = async |connection: &mut PoolConnection<Sqlite>| {
            sql.build_query_as().fetch_all(&mut **connection).await
        };
        self.readers.ask("read a transcript", read).await
    }

    /// The languages that cues of a stream are in.
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

    /// Says for how many days the cues of a stream are kept; 0 is for ever.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn retain_cues(&self, stream: &str, days: u32) -> Result<(), Error> {
        let sql = "INSERT INTO cue_retention (stream, days) VALUES (?, ?) \
                   ON CONFLICT (stream) DO UPDATE SET days = excluded.days";
        let kept = sqlx::query(sql).bind(stream).bind(days).execute(&self.writer).await;
        kept.map(|_| ()).map_err(Error::sql("keep how long captions are kept"))
    }

    /// Deletes cues that are older than their stream keeps them; returns how many. `cutoff` says
    /// when that was which is now of an age, in milliseconds since 1970; `None` where it cannot tell.
    ///
    /// # Errors
    /// [`Error::Sql`]; what was deleted before stays deleted.
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

    /// Deletes the cues of a stream that began before a time and are there now; returns how many. A
    /// little at a time: others write in between.
    ///
    /// # Errors
    /// [`Error::Sql`]; what was deleted before stays deleted.
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

/// What searches and transcripts have in common.
fn narrow(sql: &mut QueryBuilder<Sqlite>, search: &Search) {
    if let Some(language) = &search.language {
        sql.push(" AND (cue.language = ").push_bind(language.clone());
        // A language tag has no wildcards in it.
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

/// Where the marks are, counted without them.
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
