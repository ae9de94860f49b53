//! Tables `cue` and `cue_retention`, with the full-text index `cue_text`.

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::{SqliteBackend, fts};
use crate::control::store::format::{WORDS_VERSION, read_words, write_words};
use crate::control::store::{CueRow, CueTable, Error, Found, Search, StoreFuture};

/// Maximum expected duration of a cue, in milliseconds: a cue that overlaps a range begins at most
/// this long before it.
const CUE_MAX_MS: i64 = 10 * 60 * 1000;

/// Rows per deletion, so that other writers wait only a few milliseconds.
const DELETE_ROWS_MAX: i64 = 200;

/// Columns of [`CueRow`].
const COLUMNS: &str = "cue.stream, cue.language, cue.number, cue.running_ms, cue.start_ms, \
                       cue.end_ms, cue.text, cue.words_version, cue.words, cue.ends_sentence, \
                       cue.engine, cue.model, cue.speaker";

impl CueTable for SqliteBackend {
    fn insert<'a>(&'a self, cues: &'a [CueRow]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let failed = || Error::sql("keep captions");
            let mut transaction = self.writer.begin().await.map_err(failed())?;
            let sql = "INSERT INTO cue (stream, language, number, running_ms, start_ms, end_ms, \
                       text, words_version, words, ends_sentence, engine, model, \
                       speaker) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            for cue in cues {
                sqlx::query(sql)
                    .bind(&cue.stream)
                    .bind(&cue.language)
                    .bind(cue.number)
                    .bind(cue.running_ms)
                    .bind(cue.start_ms)
                    .bind(cue.end_ms)
                    .bind(&cue.text)
                    .bind(WORDS_VERSION)
                    .bind(write_words(cue)?)
                    .bind(cue.ends_sentence)
                    .bind(&cue.engine)
                    .bind(&cue.model)
                    .bind(&cue.speaker)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed())?;
            }
            transaction.commit().await.map_err(failed())
        })
    }

    fn search<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<Found>> {
        Box::pin(async move {
            let mut sql = search_sql(search);
            let read = async |connection: &mut PoolConnection<Sqlite>| {
                sql.build().fetch_all(&mut **connection).await
            };
            let rows = self.readers.ask("search captions", read).await?;
            let found: Result<Vec<_>, _> = rows.iter().map(|row| found(row, search)).collect();
            found.map_err(Error::sql("read captions"))
        })
    }

    fn transcript<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<CueRow>> {
        Box::pin(async move {
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
            sql.push(COLUMNS).push(" FROM cue");
            of_stream(&mut sql, search);
            sql.push(" ORDER BY cue.start_ms, cue.id LIMIT ").push_bind(search.limit);
            let read = async |connection: &mut PoolConnection<Sqlite>| {
                sql.build().try_map(|row| cue(&row)).fetch_all(&mut **connection).await
            };
            self.readers.ask("read a transcript", read).await
        })
    }

    fn languages<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT DISTINCT cue.language FROM cue");
            of_stream(&mut sql, search);
            sql.push(" ORDER BY cue.language");
            let read = async |connection: &mut PoolConnection<Sqlite>| {
                sql.build_query_scalar().fetch_all(&mut **connection).await
            };
            self.readers.ask("read the languages of a transcript", read).await
        })
    }

    fn delete<'a>(&'a self, stream: &'a str, before_ms: i64) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM cue")
                .fetch_one(&self.writer)
                .await
                .map_err(Error::sql("look for captions to delete"))?;
            let sql = "DELETE FROM cue WHERE id IN \
                       (SELECT id FROM cue WHERE stream = ? AND start_ms < ? AND id <= ? LIMIT ?)";
            let mut total = 0;
            loop {
                let step = sqlx::query(sql).bind(stream).bind(before_ms);
                let step = step.bind(newest).bind(DELETE_ROWS_MAX).execute(&self.writer).await;
                let deleted = step.map_err(Error::sql("delete captions"))?.rows_affected();
                total += deleted;
                if deleted == 0 {
                    return Ok(total);
                }
            }
        })
    }

    fn set_retention<'a>(&'a self, stream: &'a str, days: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO cue_retention (stream, days) VALUES (?, ?) \
                       ON CONFLICT (stream) DO UPDATE SET days = excluded.days";
            let set = sqlx::query(sql).bind(stream).bind(days).execute(&self.writer).await;
            set.map(|_| ()).map_err(Error::sql("keep how long captions are kept"))
        })
    }

    fn retention(&self) -> StoreFuture<'_, Vec<(String, u32)>> {
        Box::pin(async move {
            sqlx::query_as("SELECT stream, days FROM cue_retention WHERE days > 0 ORDER BY stream")
                .fetch_all(&self.writer)
                .await
                .map_err(Error::sql("read how long captions are kept"))
        })
    }
}

fn search_sql(search: &Search) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT cue.id, ");
    sql.push(COLUMNS);
    let (id, order) = match search.query.as_ref().and_then(fts::expression) {
        Some(expression) => {
            sql.push(", highlight(cue_text, 0, char(2), char(3)) AS marked ");
            // The index is read from its end, so that a page of a common word costs no more than
            // one of a rare word. CROSS keeps SQLite from querying the index for each cue of a
            // stream instead.
            sql.push("FROM cue_text CROSS JOIN cue ON cue.id = cue_text.rowid ");
            sql.push("WHERE cue_text MATCH ").push_bind(expression);
            ("cue_text.rowid", " ORDER BY cue_text.rowid")
        }
        None => {
            sql.push(", NULL AS marked FROM cue WHERE TRUE");
            ("cue.id", " ORDER BY cue.id")
        }
    };
    if let Some(before) = search.before {
        sql.push(" AND ").push(id).push(" < ").push_bind(before);
    }
    for text in search.query.iter().flat_map(|query| query.literals()) {
        sql.push(" AND instr(cue.text, ").push_bind(text).push(") > 0");
    }
    if let Some(stream) = &search.stream {
        sql.push(" AND cue.stream = ").push_bind(stream);
    }
    narrow(&mut sql, search);
    sql.push(order).push(" DESC LIMIT ").push_bind(search.limit);
    sql
}

/// Conditions of transcripts.
fn of_stream(sql: &mut QueryBuilder<Sqlite>, search: &Search) {
    sql.push(" WHERE cue.stream = ").push_bind(&search.stream);
    if let Some(from) = search.from_ms {
        // A bound for the database index, which does not cover end times.
        sql.push(" AND cue.start_ms >= ").push_bind(from.saturating_sub(CUE_MAX_MS));
    }
    narrow(sql, search);
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

fn cue(row: &SqliteRow) -> Result<CueRow, sqlx::Error> {
    Ok(CueRow {
        stream: row.try_get("stream")?,
        language: row.try_get("language")?,
        number: row.try_get("number")?,
        running_ms: row.try_get("running_ms")?,
        start_ms: row.try_get("start_ms")?,
        end_ms: row.try_get("end_ms")?,
        text: row.try_get("text")?,
        words: read_words(row.try_get("words_version")?, row.try_get("words")?),
        ends_sentence: row.try_get("ends_sentence")?,
        engine: row.try_get("engine")?,
        model: row.try_get("model")?,
        speaker: row.try_get("speaker")?,
    })
}

fn found(row: &SqliteRow, search: &Search) -> Result<Found, sqlx::Error> {
    let cue = cue(row)?;
    let marked: Option<String> = row.try_get("marked")?;
    let mut marks = marked.map(|marked| fts::marks(&marked)).unwrap_or_default();
    for literal in search.query.iter().flat_map(|query| query.literals()) {
        marks.extend(cue.text.match_indices(literal).map(|(at, text)| at..at + text.len()));
    }
    marks.sort_by_key(|mark| mark.start);
    Ok(Found { id: row.try_get("id")?, cue, marks })
}
