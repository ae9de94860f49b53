//! Table `stream_access`.

use super::{Access, SqlTables, Statement};
use crate::control::store::{AccessTable, StoreFuture, Tokens};

impl AccessTable for SqlTables {
    fn tokens<'a>(&'a self, stream: &'a str) -> StoreFuture<'a, Option<Tokens>> {
        const DOING: &str = "read the tokens of a stream";
        Box::pin(async move {
            let sql = "SELECT publish_token, play_token FROM stream_access WHERE stream = $1";
            let rows = self.rows(Access::Read, DOING, Statement::new(sql).value(stream)).await?;
            let tokens = rows
                .into_iter()
                .next()
                .map(|mut row| Ok(Tokens { publish: row.text()?, play: row.text()? }));
            tokens.transpose().map_err(|e| self.backend.error(DOING, e))
        })
    }

    fn set_tokens<'a>(&'a self, stream: &'a str, tokens: &'a Tokens) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO stream_access (stream, publish_token, play_token) \
                       VALUES ($1, $2, $3) ON CONFLICT (stream) DO UPDATE SET \
                       publish_token = excluded.publish_token, play_token = excluded.play_token";
            let set = Statement::new(sql).value(stream);
            let set = set.value(&tokens.publish).value(&tokens.play);
            self.change("keep the tokens of a stream", [set]).await.map(drop)
        })
    }
}
