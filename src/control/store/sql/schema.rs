//! Names of the tables and columns that all databases have, and how rows are inserted.

use super::backend::Dialect;
use super::statement::{Statement, Value};

/// Rows of one statement: 14 values each, and SQLite takes 32,766.
pub(in crate::control::store) const INSERT_ROWS_MAX: usize = 100;

/// Key of the setting that [`Database::try_write`](crate::control::store::Database::try_write) writes.
pub(super) const WRITE_TEST: &str = "write_test";

/// A table.
pub(in crate::control::store) struct Table {
    /// Its name.
    pub(in crate::control::store) name: &'static str,
    /// Its columns; the first one is its key.
    pub(in crate::control::store) columns: &'static [&'static str],
    /// Key of a row that belongs to one database and is in no copy.
    pub(in crate::control::store) not_copied: Option<&'static str>,
}

/// Every table.
pub(in crate::control::store) const TABLES: [&Table; 6] =
    [&STREAM, &SETTING, &STREAM_ACCESS, &API_TOKEN, &CUE_RETENTION, &CUE];

/// Streams created by the API.
pub(super) const STREAM: Table = Table {
    name: "stream",
    columns: &["name", "spec_version", "spec", "created_at", "updated_at"],
    not_copied: None,
};

/// Single values.
pub(super) const SETTING: Table =
    Table { name: "setting", columns: &["key", "value"], not_copied: Some(WRITE_TEST) };

/// Tokens of streams of the configuration file.
pub(super) const STREAM_ACCESS: Table = Table {
    name: "stream_access",
    columns: &["stream", "publish_token", "play_token"],
    not_copied: None,
};

/// Tokens of the API.
pub(super) const API_TOKEN: Table = Table {
    name: "api_token",
    columns: &["id", "name", "role", "sha256", "created_ms", "expires_ms"],
    not_copied: None,
};

/// How long cues are kept.
pub(super) const CUE_RETENTION: Table =
    Table { name: "cue_retention", columns: &["stream", "days"], not_copied: None };

/// The caption archive.
pub(super) const CUE: Table = Table {
    name: "cue",
    columns: &[
        "id",
        "stream",
        "language",
        "number",
        "running_ms",
        "start_ms",
        "end_ms",
        "text",
        "words_version",
        "words",
        "ends_sentence",
        "engine",
        "model",
        "speaker",
    ],
    not_copied: None,
};

impl Table {
    /// Column of the key: unique, and the order of copies.
    pub(in crate::control::store) fn key(&self) -> &'static str {
        self.columns[0]
    }
}

/// Inserts rows with values for these columns of the table, of which there is one at least, at most
/// [`INSERT_ROWS_MAX`].
pub(in crate::control::store) fn insert(
    dialect: &Dialect,
    table: &Table,
    columns: &[&'static str],
    rows: impl IntoIterator<Item = Vec<Value>>,
) -> Statement {
    let index = dialect.cue_index.as_ref().filter(|_| table.name == CUE.name);
    let text = columns.iter().position(|column| *column == "text");
    let mut sql = Statement::new("INSERT INTO ").once();
    sql.push(table.name).push(" (");
    push_list(&mut sql, columns.iter().copied().chain(index.map(|index| index.column)));
    sql.push(") VALUES ");
    for (number, row) in rows.into_iter().enumerate() {
        let written = text.and_then(|at| row.get(at)).and_then(|value| match value {
            Value::Text(text) => index.map(|index| (index, (index.of)(text))),
            Value::Null | Value::Integer(_) => None,
        });
        sql.push(if number == 0 { "(" } else { ", (" });
        for (column, value) in row.into_iter().enumerate() {
            sql.push(if column == 0 { "" } else { ", " }).bind(value);
        }
        if let Some((index, value)) = written {
            sql.push(", ").bind(value).push(index.cast);
        }
        sql.push(")");
    }
    sql
}

/// Names separated by commas.
pub(in crate::control::store) fn push_list(
    sql: &mut Statement,
    names: impl IntoIterator<Item = &'static str>,
) {
    for (number, name) in names.into_iter().enumerate() {
        sql.push(if number == 0 { "" } else { ", " }).push(name);
    }
}
