//! Table `stream`.

use super::TestDatabase;
use crate::control::store::{Error, Store, StoredStream};
use crate::runtime::StreamSpec;

fn spec(name: &str) -> StreamSpec {
    StreamSpec::new(name.parse().expect("a name"))
}

async fn list(store: &Store) -> Vec<StoredStream> {
    store.streams.list().await.expect("reads")
}

pub(crate) async fn come_back_as_they_were_stored(database: &impl TestDatabase) {
    let store = database.open().await;
    let mut spec = spec("studio-1");
    spec.access.publish_token = Some("key".into());
    store.streams.insert(&spec).await.expect("stores");
    let again = store.streams.insert(&spec).await.expect_err("taken");
    assert!(matches!(again, Error::Exists(name) if name == "studio-1"));
    spec.linger_s = 7;
    store.streams.update(&spec).await.expect("changes");
    store.close().await;
    let store = database.open().await;
    let stored = StoredStream { name: "studio-1".into(), spec: Ok(spec.clone()) };
    assert_eq!(list(&store).await, [stored]);
    for _ in 0..2 {
        store.streams.delete("studio-1").await.expect("forgets");
        assert_eq!(list(&store).await, []);
    }
    let missing = store.streams.update(&spec).await.expect_err("not stored");
    assert!(matches!(missing, Error::Missing(name) if name == "studio-1"));
}

pub(crate) async fn an_unreadable_one_is_named_and_kept(database: &impl TestDatabase) {
    let sql = r#"UPDATE stream SET spec = '{"name": "b", "gone": 1}' WHERE name = 'b'"#;
    is_named_and_kept(database, sql, "gone").await;
}

pub(crate) async fn a_newer_version_is_named_and_kept(database: &impl TestDatabase) {
    is_named_and_kept(database, "UPDATE stream SET spec_version = 99 WHERE name = 'b'", "99").await;
}

/// Stream `b` is damaged by this SQL; the reason has this word.
async fn is_named_and_kept(database: &impl TestDatabase, damage: &'static str, reason: &str) {
    let store = database.open().await;
    for name in ["c", "b", "a"] {
        store.streams.insert(&spec(name)).await.expect("stores");
    }
    database.execute(damage).await;
    for _ in 0..2 {
        let listed = list(&store).await;
        let names: Vec<&str> = listed.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let why = listed[1].spec.as_ref().expect_err("unreadable");
        assert!(why.contains(reason), "{why}");
        assert!(listed[0].spec.is_ok() && listed[2].spec.is_ok());
    }
    let taken = store.streams.insert(&spec("b")).await.expect_err("it is still there");
    assert!(matches!(taken, Error::Exists(name) if name == "b"));
    store.streams.update(&spec("b")).await.expect("replaces");
    assert_eq!(list(&store).await[1].spec, Ok(spec("b")));
}
