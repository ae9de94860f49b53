//! Tables `cue` and `cue_retention`, with the full-text index.

use super::schema::{CUE, INSERT_ROWS_MAX, insert, push_list};
use super::{Access, Dialect, Row, SqlTables, Statement, Value};
use crate::control::store::format::{WORDS_VERSION, read_words, write_words};
use crate::control::store::words::marks;
use crate::control::store::{CueRow, CueTable, Error, Found, Search, StoreFuture};

/// Maximum expected duration of a cue, in milliseconds: a cue that overlaps a range begins at most
/// this long before it.
const CUE_MAX_MS: i64 = 10 * 60 * 1000;

/// Rows per deletion, so that other writers wait only a few milliseconds.
const DELETE_ROWS_MAX: i64 = 200;

/// Columns of [`CueRow`]: all but the id.
fn columns() -> &'static [&'static str] {
    &CUE.columns[1..]
}

impl CueTable for SqlTables {
    fn insert<'a>(&'a self, cues: &'a [CueRow]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let dialect = self.backend.dialect();
            let rows = cues.iter().map(values).collect::<Result<Vec<_>, _>>()?;
            let mut statements = Vec::with_capacity(rows.len().div_ceil(INSERT_ROWS_MAX));
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let some = rows.by_ref().take(INSERT_ROWS_MAX);
                statements.push(insert(dialect, &CUE, columns(), some));
            }
            self.change("keep captions", statements).await.map(drop)
        })
    }

    fn search<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<Found>> {
        const DOING: &str = "search captions";
        Box::pin(async move {
            let sql = search_sql(self.backend.dialect(), search);
            let rows = self.rows(Access::Search, DOING, sql).await?;
            let found = rows.into_iter().map(|mut row| {
                let (id, cue) = (row.integer()?, cue(&mut row)?);
                let query = search.query.as_ref();
                let marks = query.map(|query| marks(query, &cue.text)).unwrap_or_default();
                Ok(Found { id, cue, marks })
            });
            found.collect::<Result<_, _>>().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn transcript<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<CueRow>> {
        const DOING: &str = "read a transcript";
        Box::pin(async move {
            let mut sql = Statement::new("SELECT ");
            push_list(&mut sql, columns().iter().copied());
            sql.push(" FROM cue");
            of_stream(&mut sql, search);
            sql.push(" ORDER BY start_ms, id LIMIT ").bind(search.limit);
            let rows = self.rows(Access::Search, DOING, sql).await?;
            let cues = rows.into_iter().map(|mut row| cue(&mut row));
            cues.collect::<Result<_, _>>().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn languages<'a>(&'a self, search: &'a Search) -> StoreFuture<'a, Vec<String>> {
        const DOING: &str = "read the languages of a transcript";
        Box::pin(async move {
            let mut sql = Statement::new("SELECT DISTINCT language FROM cue");
            of_stream(&mut sql, search);
            sql.push(" ORDER BY language");
            let rows = self.rows(Access::Search, DOING, sql).await?;
            let languages = rows.into_iter().map(|mut row| row.text());
            languages.collect::<Result<_, _>>().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn delete<'a>(&'a self, stream: &'a str, before_ms: i64) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let newest = self.newest_cue().await?;
            let sql = "DELETE FROM cue WHERE id IN (SELECT id FROM cue \
                       WHERE stream = $1 AND start_ms < $2 AND id <= $3 LIMIT $4)";
            let step = Statement::new(sql).value(stream).value(before_ms);
            let step = step.value(newest).value(DELETE_ROWS_MAX);
            let mut total = 0;
            loop {
                let deleted = self.change("delete captions", [step.clone()]).await?;
                total += deleted;
                if deleted == 0 {
                    return Ok(total);
                }
            }
        })
    }

    fn set_retention<'a>(&'a self, stream: &'a str, days: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO cue_retention (stream, days) VALUES ($1, $2) \
                       ON CONFLICT (stream) DO UPDATE SET days = excluded.days";
            let set = Statement::new(sql).value(stream).value(days);
            self.change("keep how long captions are kept", [set]).await.map(drop)
        })
    }

    fn retention(&self) -> StoreFuture<'_, Vec<(String, u32)>> {
        const DOING: &str = "read how long captions are kept";
        Box::pin(async move {
            let sql = "SELECT stream, days FROM cue_retention WHERE days > 0 ORDER BY stream";
            let rows = self.rows(Access::Read, DOING, Statement::new(sql)).await?;
            let kept = rows.into_iter().map(|mut row| {
                let (stream, days) = (row.text()?, row.integer()?);
                Ok((stream, u32::try_from(days).unwrap_or(u32::MAX)))
            });
            kept.collect::<Result<_, _>>().map_err(|e| self.backend.error(DOING, e))
        })
    }
}

impl SqlTables {
    /// The highest id of a cue, 0 if there is none.
    async fn newest_cue(&self) -> Result<i64, Error> {
        const DOING: &str = "look for captions to delete";
        let sql = Statement::new("SELECT coalesce(max(id), 0) FROM cue");
        let rows = self.rows(Access::Read, DOING, sql).await?;
        let newest = rows.into_iter().next().map(|mut row| row.integer()).transpose();
        newest.map(Option::unwrap_or_default).map_err(|e| self.backend.error(DOING, e))
    }
}

fn search_sql(dialect: &Dialect, search: &Search) -> Statement {
    let mut sql = Statement::new("SELECT cue.id");
    for column in columns() {
        sql.push(", cue.").push(column);
    }
    let id = match search.query.as_ref().and_then(dialect.expression) {
        Some(expression) => {
            sql.push(dialect.matching).bind(expression).push(dialect.matched);
            dialect.matching_id
        }
        None => {
            sql.push(" FROM cue WHERE TRUE");
            "cue.id"
        }
    };
    if let Some(before) = search.before {
        sql.push(" AND ").push(id).push(" < ").bind(before);
    }
    for text in search.query.iter().flat_map(|query| query.literals()) {
        sql.push(" AND ").push(dialect.place_of).push("(cue.text, ").bind(text).push(") > 0");
    }
    if let Some(stream) = &search.stream {
        sql.push(" AND cue.stream = ").bind(stream);
    }
    narrow(&mut sql, search);
    sql.push(" ORDER BY ").push(id).push(" DESC LIMIT ").bind(search.limit);
    sql
}

/// Conditions of transcripts.
fn of_stream(sql: &mut Statement, search: &Search) {
    sql.push(" WHERE stream = ").bind(search.stream.as_ref());
    narrow(sql, search);
}

/// Conditions common to searches and transcripts.
fn narrow(sql: &mut Statement, search: &Search) {
    if let Some(language) = &search.language {
        sql.push(" AND (language = ").bind(language);
        // A language tag contains no wildcards.
        sql.push(" OR language LIKE ").bind(format!("{language}-%")).push(")");
    }
    if let Some(from) = search.from_ms {
        sql.push(" AND end_ms > ").bind(from);
        // A bound for the database index, which does not cover end times.
        sql.push(" AND start_ms >= ").bind(from.saturating_sub(CUE_MAX_MS));
    }
    if let Some(to) = search.to_ms {
        sql.push(" AND start_ms < ").bind(to);
    }
}

/// The values of [`columns`].
fn values(cue: &CueRow) -> Result<Vec<Value>, Error> {
    Ok(vec![
        Value::from(&cue.stream),
        Value::from(&cue.language),
        Value::from(cue.number),
        Value::from(cue.running_ms),
        Value::from(cue.start_ms),
        Value::from(cue.end_ms),
        Value::from(&cue.text),
        Value::from(WORDS_VERSION),
        Value::from(write_words(cue)?),
        Value::from(cue.ends_sentence),
        Value::from(&cue.engine),
        Value::from(cue.model.as_ref()),
        Value::from(cue.speaker.as_ref()),
    ])
}

/// A cue from [`columns`].
fn cue(row: &mut Row) -> Result<CueRow, sqlx::Error> {
    Ok(CueRow {
        stream: row.text()?,
        language: row.text()?,
        number: row.integer()?,
        running_ms: row.integer()?,
        start_ms: row.integer()?,
        end_ms: row.integer()?,
        text: row.text()?,
        words: {
            let version = row.integer()?;
            read_words(version, &row.text()?)
        },
        ends_sentence: row.integer()? != 0,
        engine: row.text()?,
        model: row.optional_text()?,
        speaker: row.optional_text()?,
    })
}
