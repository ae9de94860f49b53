//! Copies of a whole database: backups, and the way from one kind of database to another.
//!
//! A backup is a file of SQLite with the tables of the store, whatever database they come from. A copy
//! is read from one snapshot, so that the appliance may go on, and written in one transaction, which
//! counts only if every table has the same rows on both sides: their number and a SHA-256 of all their
//! values are compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Error;
use super::sql::{
    Access, INSERT_ROWS_MAX, SqlTables, Statement, TABLES, Table, Transaction, Value, insert,
    push_list,
};
use super::sqlite::SqliteBackend;

/// Rows that are read at once.
const PAGE_ROWS: u32 = 1000;

/// Why a copy was not made. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The database that is read fails.
    #[error("cannot read what is to be copied")]
    Read(#[source] Error),
    /// The database that is written fails.
    #[error("cannot write the copy")]
    Write(#[source] Error),
    /// There is something that the copy would mix with.
    #[error("the database has rows in its table `{0}`: --replace deletes what it has")]
    NotEmpty(&'static str),
    /// What was written is not what was read.
    #[error("the copy of the table `{0}` differs from what was read: see to disk and memory")]
    Differs(&'static str),
    /// The file of the backup cannot be used.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// Number of its rows.
    pub rows: u64,
    /// SHA-256 of their values, in hexadecimal digits.
    pub sha256: String,
}

/// Writes a new file with all tables; only its owner can read it.
///
/// # Errors
/// If the file exists, and [`CopyError`].
pub(super) async fn back_up(from: &SqlTables, file: &Path) -> Result<Vec<CopiedTable>, CopyError> {
    let problem = |problem: String| CopyError::File { path: file.to_owned(), problem };
    if file.exists() {
        return Err(problem("it is there already; a backup replaces nothing".into()));
    }
    let name = file.file_name().ok_or_else(|| problem("it names no file".into()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(problem("its folder is not there".into()));
    }
    // Deleted with whatever it has when the backup fails.
    let part = tempfile::Builder::new().prefix(".auralink-backup-").tempdir_in(folder);
    let part = part.map_err(|error| problem(error.to_string()))?;
    let path = part.path().join(name);
    let to = open(&path).await.map_err(CopyError::Write)?;
    let copied = copy(from, &to, false).await;
    // The log is written into the file.
    to.backend().close().await;
    let copied = copied?;
    let finish = || {
        std::fs::rename(&path, file)?;
        std::fs::File::open(folder)?.sync_all()
    };
    finish().map_err(|error| problem(error.to_string()))?;
    Ok(copied)
}

/// Writes all tables from the file of a backup, into an empty database or in place of what it has.
///
/// # Errors
/// [`CopyError`].
pub(super) async fn restore(
    to: &SqlTables,
    file: &Path,
    replace: bool,
) -> Result<Vec<CopiedTable>, CopyError> {
    let problem = |problem: String| CopyError::File { path: file.to_owned(), problem };
    let log = PathBuf::from(format!("{}-wal", file.display()));
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let text = "a program has it open or has not closed it: make a file by `auralink backup`";
        return Err(problem(text.into()));
    }
    // Its tables are brought up to date in a copy: a backup is never changed.
    let folder = tempfile::tempdir().map_err(|error| problem(error.to_string()))?;
    let path = folder.path().join("backup.db");
    std::fs::copy(file, &path).map_err(|error| problem(error.to_string()))?;
    let from = open(&path).await.map_err(CopyError::Read)?;
    let copied = copy(&from, to, replace).await;
    from.backend().close().await;
    copied
}

async fn open(path: &Path) -> Result<SqlTables, Error> {
    Ok(SqlTables::new(Arc::new(SqliteBackend::open_file(path).await?)))
}

/// Copies all tables in one transaction of each side.
async fn copy(
    from: &SqlTables,
    to: &SqlTables,
    replace: bool,
) -> Result<Vec<CopiedTable>, CopyError> {
    const READ: &str = "read the database";
    const WRITE: &str = "write the copy";
    let begun = from.backend().begin(Access::Snapshot, READ).await;
    let mut source = begun.map_err(CopyError::Read)?;
    let begun = to.backend().begin(Access::Restore, WRITE).await;
    let mut target = begun.map_err(CopyError::Write)?;
    let failed = |error| CopyError::Write(to.backend().error(WRITE, error));
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        if replace {
            let delete = statement(&["DELETE FROM ", table.name]);
            target.execute(delete).await.map_err(failed)?;
        } else if !Pages::of(table).next(&mut *target).await.map_err(failed)?.is_empty() {
            return Err(CopyError::NotEmpty(table.name));
        }
        let (mut pages, mut sum) = (Pages::of(table), Sum::default());
        loop {
            let page = pages.next(&mut *source).await;
            let page = page.map_err(|e| CopyError::Read(from.backend().error(READ, e)))?;
            if page.is_empty() {
                break;
            }
            sum.add(&page);
            for rows in page.chunks(INSERT_ROWS_MAX) {
                let dialect = to.backend().dialect();
                let insert = insert(dialect, table, table.columns, rows.iter().cloned());
                target.execute(insert).await.map_err(failed)?;
            }
        }
        let read = sum.finish(table);
        if written(table, &mut *target).await.map_err(failed)? != read {
            return Err(CopyError::Differs(table.name));
        }
        copied.push(read);
    }
    let dialect = to.backend().dialect();
    for sql in dialect.follow_ids.into_iter().chain([dialect.analyze]) {
        target.execute(Statement::new(sql)).await.map_err(failed)?;
    }
    target.commit().await.map_err(failed)?;
    Ok(copied)
}

/// What a table has now.
async fn written(
    table: &Table,
    transaction: &mut dyn Transaction,
) -> Result<CopiedTable, sqlx::Error> {
    let (mut pages, mut sum) = (Pages::of(table), Sum::default());
    loop {
        let page = pages.next(transaction).await?;
        if page.is_empty() {
            return Ok(sum.finish(table));
        }
        sum.add(&page);
    }
}

/// The rows of a table in the order of its key, some at a time.
struct Pages<'a> {
    table: &'a Table,
    /// Key of the last row so far.
    last: Option<Value>,
}

impl<'a> Pages<'a> {
    fn of(table: &'a Table) -> Self {
        Self { table, last: None }
    }

    /// The next rows. Empty at the end.
    async fn next(
        &mut self,
        transaction: &mut dyn Transaction,
    ) -> Result<Vec<Vec<Value>>, sqlx::Error> {
        let key = self.table.key();
        let mut sql = Statement::new("SELECT ");
        push_list(&mut sql, self.table.columns.iter().copied());
        sql.push(" FROM ").push(self.table.name).push(" WHERE TRUE");
        if let Some(unwanted) = self.table.not_copied {
            sql.push(" AND ").push(key).push(" <> ").bind(unwanted);
        }
        if let Some(last) = self.last.clone() {
            sql.push(" AND ").push(key).push(" > ").bind(last);
        }
        sql.push(" ORDER BY ").push(key).push(" LIMIT ").bind(PAGE_ROWS);
        let rows = transaction.rows(sql).await?;
        let page: Vec<Vec<Value>> = rows.into_iter().map(|row| row.into_values()).collect();
        if let Some(key) = page.last().and_then(|row| row.first()) {
            self.last = Some(key.clone());
        }
        Ok(page)
    }
}

/// Number and checksum of rows.
#[derive(Default)]
struct Sum {
    rows: u64,
    hash: Sha256,
}

impl Sum {
    fn add(&mut self, rows: &[Vec<Value>]) {
        for row in rows {
            self.rows += 1;
            for value in row {
                // Kind and length come first, so that no two rows have the same bytes.
                match value {
                    Value::Null => self.hash.update([0]),
                    Value::Integer(number) => {
                        self.hash.update([1]);
                        self.hash.update(number.to_be_bytes());
                    }
                    Value::Text(text) => {
                        self.hash.update([2]);
                        self.hash.update((text.len() as u64).to_be_bytes());
                        self.hash.update(text);
                    }
                }
            }
        }
    }

    fn finish(self, table: &Table) -> CopiedTable {
        use std::fmt::Write;
        let digits = self.hash.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        CopiedTable { name: table.name, rows: self.rows, sha256: digits }
    }
}

fn statement(parts: &[&'static str]) -> Statement {
    let mut sql = Statement::default();
    parts.iter().for_each(|part| {
        sql.push(part);
    });
    sql
}

#[cfg(test)]
mod tests;
