//! A statement with its values, and the rows of its answer, in types that every database has.

use sqlx::database::HasStatementCache;
use sqlx::query::Query;
use sqlx::{
    Arguments as _, AssertSqlSafe, ColumnIndex, Database, Decode, Encode, IntoArguments, Type,
    TypeInfo, ValueRef,
};

/// A value of a column. The schema has no other types.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control::store) enum Value {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Integer(i64::from(is_so))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// SQL and its values. The SQL is made of literals of this program only; what comes from outside is
/// a value.
#[derive(Clone, Debug, Default)]
pub(in crate::control::store) struct Statement {
    sql: String,
    values: Vec<Value>,
    /// Its text is hardly ever used again: the database need not remember it.
    once: bool,
}

impl Statement {
    /// A statement without values so far.
    pub(in crate::control::store) fn new(sql: &'static str) -> Self {
        Self { sql: sql.to_owned(), ..Self::default() }
    }

    /// The next value, which the text names `$1`, `$2` … in this order. [`Value::Null`] counts as one
    /// of a text here.
    pub(in crate::control::store) fn value(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Appends SQL.
    pub(in crate::control::store) fn push(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a value, as a parameter, or the word where there is none: it fits a column of any type.
    pub(in crate::control::store) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        match value.into() {
            Value::Null => self.sql.push_str("NULL"),
            value => {
                self.values.push(value);
                self.sql.push_str(&format!("${}", self.values.len()));
            }
        }
        self
    }

    /// Notes that the text is hardly ever used again.
    pub(in crate::control::store) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// The statement for this database.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    pub(in crate::control::store) fn query<DB>(
        self,
    ) -> Result<Query<'static, DB, DB::Arguments>, sqlx::Error>
    where
        DB: Database + HasStatementCache,
        DB::Arguments: IntoArguments<DB>,
        i64: Encode<'static, DB> + Type<DB>,
        String: Encode<'static, DB> + Type<DB>,
        Option<String>: Encode<'static, DB> + Type<DB>,
    {
        let mut arguments = DB::Arguments::default();
        for value in self.values {
            let added = match value {
                Value::Null => arguments.add(None::<String>),
                Value::Integer(number) => arguments.add(number),
                Value::Text(text) => arguments.add(text),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        // Pieces of it are `&'static str`, see `push`.
        let query = sqlx::query_with(AssertSqlSafe(self.sql), arguments);
        Ok(query.persistent(!self.once))
    }
}

/// A row of an answer, whose values are taken in the order of its columns.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control::store) struct Row {
    values: Vec<Value>,
    taken: usize,
}

impl Row {
    /// A row as the database sends it.
    ///
    /// # Errors
    /// If a column has another type than [`Value`] knows.
    pub(in crate::control::store) fn read<R>(row: &R) -> Result<Self, sqlx::Error>
    where
        R: sqlx::Row,
        usize: ColumnIndex<R>,
        i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
        String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    {
        let mut values = Vec::with_capacity(row.len());
        for index in 0..row.len() {
            let raw = row.try_get_raw(index)?;
            let value = match (raw.is_null(), raw.type_info().name()) {
                (true, _) => Value::Null,
                (_, "INTEGER" | "INT8") => Value::Integer(row.try_get(index)?),
                (_, "TEXT") => Value::Text(row.try_get(index)?),
                (_, other) => return Err(mistyped(index, &format!("the type {other}"))),
            };
            values.push(value);
        }
        Ok(Self { values, taken: 0 })
    }

    /// The next value.
    ///
    /// # Errors
    /// If there is none.
    fn next(&mut self) -> Result<Value, sqlx::Error> {
        let value = self.values.get_mut(self.taken).map(|v| std::mem::replace(v, Value::Null));
        self.taken += 1;
        value.ok_or_else(|| mistyped(self.taken - 1, "no column"))
    }

    /// The next value, a text.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn text(&mut self) -> Result<String, sqlx::Error> {
        match self.next()? {
            Value::Text(text) => Ok(text),
            Value::Null | Value::Integer(_) => Err(mistyped(self.taken - 1, "no text")),
        }
    }

    /// The next value, a text or nothing.
    ///
    /// # Errors
    /// If it is a number.
    pub(super) fn optional_text(&mut self) -> Result<Option<String>, sqlx::Error> {
        match self.next()? {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            Value::Integer(_) => Err(mistyped(self.taken - 1, "no text but a number")),
        }
    }

    /// The next value, a number.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn integer(&mut self) -> Result<i64, sqlx::Error> {
        match self.next()? {
            Value::Integer(number) => Ok(number),
            Value::Null | Value::Text(_) => Err(mistyped(self.taken - 1, "no number")),
        }
    }

    /// The next value, a number or nothing.
    ///
    /// # Errors
    /// If it is a text.
    pub(super) fn optional_integer(&mut self) -> Result<Option<i64>, sqlx::Error> {
        match self.next()? {
            Value::Integer(number) => Ok(Some(number)),
            Value::Null => Ok(None),
            Value::Text(_) => Err(mistyped(self.taken - 1, "no number but a text")),
        }
    }

    /// All values.
    pub(in crate::control::store) fn into_values(self) -> Vec<Value> {
        self.values
    }
}

/// The error of a column with another content than the schema says. It does not repeat texts.
fn mistyped(index: usize, found: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {index} has {found}").into())
}
