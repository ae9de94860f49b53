//! Table `stream_access`.

use super::SqliteBackend;
use crate::control::store::{AccessTable, Error, StoreFuture, Tokens};

impl AccessTable for SqliteBackend {
    fn tokens<'a>(&'a self, stream: &'a str) -> StoreFuture<'a, Option<Tokens>> {
        Box::pin(async move {
            let sql = "SELECT publish_token, play_token FROM stream_access WHERE stream = ?";
            let row: Option<(String, String)> = sqlx::query_as(sql)
                .bind(stream)
                .fetch_optional(&self.writer)
                .await
                .map_err(Error::sql("read the tokens of a stream"))?;
            Ok(row.map(|(publish, play)| Tokens { publish, play }))
        })
    }

    fn set_tokens<'a>(&'a self, stream: &'a str, tokens: &'a Tokens) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO stream_access (stream, publish_token, play_token) \
                       VALUES (?, ?, ?) ON CONFLICT (stream) DO UPDATE SET \
                       publish_token = excluded.publish_token, play_token = excluded.play_token";
            let set = sqlx::query(sql).bind(stream).bind(&tokens.publish).bind(&tokens.play);
            let set = set.execute(&self.writer).await;
            set.map(|_| ()).map_err(Error::sql("keep the tokens of a stream"))
        })
    }
}
