//! Table `api_token`.

use chrono::{DateTime, TimeDelta};

use super::TestDatabase;
use crate::control::store::{Error, StoredApiToken};

pub(crate) async fn tokens_are_kept_in_their_order_until_they_are_deleted(
    database: &impl TestDatabase,
) {
    let token = |id: &str, seconds: i64| {
        let created_at = DateTime::from_timestamp(seconds, 7_000_000).expect("a time");
        StoredApiToken {
            id: id.to_owned(),
            name: "ingest".to_owned(),
            role: "operator".to_owned(),
            sha256: format!("{id}{seconds}"),
            created_at,
            expires_at: (id == "b").then(|| created_at + TimeDelta::days(1)),
        }
    };
    let (later, first) = (token("a", 20), token("b", 10));
    let store = database.open().await;
    for token in [&later, &first] {
        store.api_tokens.insert_api_token(token).await.expect("stored");
    }
    let twice = store.api_tokens.insert_api_token(&token("a", 30)).await;
    assert!(matches!(twice, Err(Error::Exists(id)) if id == "a"));
    drop(store);
    let store = database.open().await;
    assert_eq!(store.api_tokens.api_tokens().await.expect("reads"), [first.clone(), later]);
    assert!(store.api_tokens.delete_api_token("a").await.expect("deletes"));
    assert!(!store.api_tokens.delete_api_token("a").await.expect("nothing is there"));
    assert_eq!(store.api_tokens.api_tokens().await.expect("reads"), [first]);
}
