//! Table `stream`: streams created by the API.

use chrono::Utc;

use super::{Error, Store};
use crate::runtime::StreamSpec;

impl Store {
    /// Every stored stream by name, with its spec or the reason why it cannot be parsed.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn streams(&self) -> Result<Vec<(String, Result<StreamSpec, String>)>, Error> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, spec FROM stream ORDER BY name")
                .fetch_all(&self.writer)
                .await
                .map_err(Error::sql("read the streams"))?;
        let read = |(name, spec): (String, String)| {
            let spec = serde_json::from_str(&spec).map_err(|e| e.to_string());
            (name, spec)
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Stores a new stream.
    ///
    /// # Errors
    /// [`Error::Exists`] if the name is taken, [`Error::Sql`].
    pub async fn insert_stream(&self, spec: &StreamSpec) -> Result<(), Error> {
        let now = Utc::now().to_rfc3339();
        let sql = "INSERT INTO stream (name, spec, created_at, updated_at) VALUES (?, ?, ?, ?)";
        let inserted = sqlx::query(sql)
            .bind(spec.name.as_str())
            .bind(to_json(spec)?)
            .bind(&now)
            .bind(&now)
            .execute(&self.writer)
            .await;
        match inserted {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                Err(Error::Exists(spec.name.to_string()))
            }
            Err(source) => Err(Error::Sql { doing: "store a stream", source }),
        }
    }

    /// Changes a stored stream.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not stored, [`Error::Sql`].
    pub async fn update_stream(&self, spec: &StreamSpec) -> Result<(), Error> {
        let updated = sqlx::query("UPDATE stream SET spec = ?, updated_at = ? WHERE name = ?")
            .bind(to_json(spec)?)
            .bind(Utc::now().to_rfc3339())
            .bind(spec.name.as_str())
            .execute(&self.writer)
            .await
            .map_err(Error::sql("change a stream"))?;
        match updated.rows_affected() {
            0 => Err(Error::Missing(spec.name.to_string())),
            _ => Ok(()),
        }
    }

    /// Deletes a stored stream.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn delete_stream(&self, name: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM stream WHERE name = ?")
            .bind(name)
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(Error::sql("forget a stream"))
    }
}

fn to_json(spec: &StreamSpec) -> Result<String, Error> {
    let failed = |e| Error::Sql { doing: "write a stream as JSON", source: sqlx::Error::decode(e) };
    serde_json::to_string(spec).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_come_back_as_they_were_stored() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).await.expect("opens");
        let mut spec = StreamSpec::new("studio-1".parse().expect("name"));
        spec.access.publish_token = Some("key".into());
        store.insert_stream(&spec).await.expect("stores");
        let again = store.insert_stream(&spec).await.expect_err("taken");
        assert!(matches!(again, Error::Exists(name) if name == "studio-1"));
        spec.linger_s = 7;
        store.update_stream(&spec).await.expect("changes");
        store.close().await;
        let store = Store::open(folder.path()).await.expect("opens again");
        assert_eq!(store.streams().await.expect("reads"), [("studio-1".into(), Ok(spec))]);
        store.delete_stream("studio-1").await.expect("forgets");
        assert_eq!(store.streams().await.expect("reads"), []);
        let gone = StreamSpec::new("studio-1".parse().expect("name"));
        let missing = store.update_stream(&gone).await.expect_err("not stored");
        assert!(matches!(missing, Error::Missing(name) if name == "studio-1"));
    }
}
