//! Table `stream_access`: tokens generated for streams of the configuration file.

use super::{Error, Store};

/// The tokens of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token of publishers.
    pub publish: String,
    /// Token of viewers.
    pub play: String,
}

impl Store {
    /// The tokens generated for a stream.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn tokens(&self, stream: &str) -> Result<Option<Tokens>, Error> {
        let sql = "SELECT publish_token, play_token FROM stream_access WHERE stream = ?";
        let row: Option<(String, String)> = sqlx::query_as(sql)
            .bind(stream)
            .fetch_optional(&self.writer)
            .await
            .map_err(Error::sql("read the tokens of a stream"))?;
        Ok(row.map(|(publish, play)| Tokens { publish, play }))
    }

    /// Stores the tokens generated for a stream.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn set_tokens(&self, stream: &str, tokens: &Tokens) -> Result<(), Error> {
        let sql = "INSERT INTO stream_access (stream, publish_token, play_token) VALUES (?, ?, ?) \
                   ON CONFLICT (stream) DO UPDATE SET publish_token = excluded.publish_token, \
                   play_token = excluded.play_token";
        sqlx::query(sql)
            .bind(stream)
            .bind(&tokens.publish)
            .bind(&tokens.play)
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(Error::sql("keep the tokens of a stream"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tokens_are_kept_and_replaced() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).await.expect("opens");
        assert_eq!(store.tokens("demo").await.expect("reads"), None);
        for n in 0..2 {
            let tokens = Tokens { publish: format!("p{n}"), play: format!("q{n}") };
            store.set_tokens("demo", &tokens).await.expect("writes");
            assert_eq!(store.tokens("demo").await.expect("reads"), Some(tokens));
        }
    }
}
