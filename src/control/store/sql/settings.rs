//! Table `setting`.

use super::{Access, SqlTables, Statement};
use crate::control::store::{SettingTable, StoreFuture};

impl SettingTable for SqlTables {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<String>> {
        const DOING: &str = "read a setting";
        Box::pin(async move {
            let sql = "SELECT value FROM setting WHERE key = $1";
            let rows = self.rows(Access::Read, DOING, Statement::new(sql).value(key)).await?;
            let value = rows.into_iter().next().map(|mut row| row.text());
            value.transpose().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO setting (key, value) VALUES ($1, $2) \
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            let set = Statement::new(sql).value(key).value(value);
            self.change("change a setting", [set]).await.map(drop)
        })
    }
}
