//! The tables in SQL, written once for all databases.
//!
//! | file | |
//! |---|---|
//! | `statement` | SQL with its values, and rows |
//! | `backend` | what a database does for the tables: transactions ([`Backend`]), and the points at which its SQL differs ([`Dialect`]) |
//! | `schema` | names of tables and columns, and how rows are inserted |
//! | `access`, `api_tokens`, `cues`, `settings`, `streams`, `whole` | the traits of the store on any [`Backend`] |
//!
//! `sqlite` and `postgres` are backends.

mod access;
mod api_tokens;
mod backend;
mod cues;
mod schema;
mod settings;
mod statement;
mod streams;
mod whole;

use std::sync::Arc;

pub(super) use backend::{Access, Backend, CueIndex, Dialect, Transaction};
pub(super) use schema::{INSERT_ROWS_MAX, TABLES, Table, insert, push_list};
pub(super) use statement::{Row, Statement, Value};

use super::Error;

/// The tables of a database. Cheap to clone.
#[derive(Clone)]
pub(super) struct SqlTables {
    backend: Arc<dyn Backend>,
}

impl SqlTables {
    /// The tables of this database.
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// The database.
    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Rows of one query; `doing` names it in errors.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Costly`], [`Error::Away`], [`Error::Sql`].
    pub(super) async fn rows(
        &self,
        access: Access,
        doing: &'static str,
        statement: Statement,
    ) -> Result<Vec<Row>, Error> {
        let mut transaction = self.backend.begin(access, doing).await?;
        let work = async {
            let rows = transaction.rows(statement).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        self.in_time(access, doing, work).await
    }

    /// Makes all of these changes or none. Returns how many rows the last one concerned.
    ///
    /// # Errors
    /// [`Error::Away`], [`Error::Sql`].
    async fn change(
        &self,
        doing: &'static str,
        statements: impl IntoIterator<Item = Statement>,
    ) -> Result<u64, Error> {
        let statements: Vec<Statement> = statements.into_iter().collect();
        let mut transaction = self.backend.begin(Access::Change, doing).await?;
        let work = async {
            let mut count = 0;
            for statement in statements {
                count = transaction.execute(statement).await?;
            }
            transaction.commit().await?;
            Ok(count)
        };
        self.in_time(Access::Change, doing, work).await
    }

    /// The result of work on a transaction within its time limit.
    async fn in_time<T>(
        &self,
        access: Access,
        doing: &'static str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        let done = match self.backend.time_limit(access) {
            Some(limit) => tokio::time::timeout(limit, work).await,
            None => Ok(work.await),
        };
        match done {
            Ok(done) => done.map_err(|source| self.backend.error(doing, source)),
            Err(_) if access == Access::Search => Err(Error::Costly),
            Err(late) => {
                Err(self.backend.error(doing, sqlx::Error::Io(std::io::Error::other(late))))
            }
        }
    }
}
