//! Copies within a kind of database and between both.

use super::*;
use crate::control::store::contract::TestDatabase;
use crate::control::store::contract::cues::{cue, numbered};
use crate::control::store::postgres::TestServer;
use crate::control::store::sqlite::TestFolder;
use crate::control::store::{Query, Search, Store, StoredApiToken, Tokens};
use crate::runtime::StreamSpec;

/// Number of cues: several pages, the last one not full.
const STORED_CUES: i64 = 2345;

async fn fill(store: &Store) {
    for name in ["b", "a", "Z", "ä"] {
        if let Ok(name) = name.parse() {
            store.streams.insert(&StreamSpec::new(name)).await.expect("stored");
        }
    }
    store.settings.set("key", "it's \"quoted\" \\ and 日本").await.expect("stored");
    store.database.try_write().await.expect("written");
    let tokens = Tokens { publish: "p".into(), play: "q".into() };
    store.access.set_tokens("demo", &tokens).await.expect("stored");
    for (id, expires_at) in [("one", None), ("two", chrono::DateTime::from_timestamp_millis(9))] {
        let created_at = chrono::DateTime::from_timestamp_millis(7).expect("a time");
        let (name, role, sha256) = ("ingest".into(), "operator".into(), format!("sha of {id}"));
        let id = id.into();
        let token = StoredApiToken { id, name, role, sha256, created_at, expires_at };
        store.api_tokens.insert_api_token(&token).await.expect("stored");
    }
    store.cues.set_retention("a", 30).await.expect("stored");
    let mut cues: Vec<_> = (0..STORED_CUES).map(numbered).collect();
    cues[7].model = Some("base.en".into());
    store.cues.insert(&cues).await.expect("stored");
    store.cues.insert(&[cue("b", "es", 1, "Señor, 東京")]).await.expect("stored");
    // Gaps between ids are kept.
    store.cues.delete("a", 100).await.expect("deleted");
}

/// What the last cue is found by, with its id.
async fn last_cue(store: &Store) -> (i64, String) {
    let query = Some(Query::parse("senor 東京").expect("words"));
    let search = Search { query, limit: 9, ..Search::default() };
    let found = store.cues.search(&search).await.expect("searches");
    assert_eq!(found.len(), 1, "the index is written too");
    (found[0].id, found[0].cue.text.clone())
}

/// A backup of one database in another one.
async fn goes_over(from: &impl TestDatabase, to: &impl TestDatabase) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup.db");
    let (source, target) = (from.open().await, to.open().await);
    fill(&source).await;
    let made = source.back_up(&file).await.expect("backs up");
    let rows: Vec<_> = made.iter().map(|table| (table.name, table.rows)).collect();
    let streams = source.streams.list().await.expect("reads").len() as u64;
    let cues = u64::try_from(STORED_CUES - 100 + 1).expect("some");
    let expect = [
        ("stream", streams),
        ("setting", 1),
        ("stream_access", 1),
        ("api_token", 2),
        ("cue_retention", 1),
        ("cue", cues),
    ];
    assert_eq!(rows, expect);
    assert!(streams >= 3);
    // The source goes on; the backup is of the moment before.
    source.settings.set("later", "x").await.expect("stored");

    assert_eq!(target.restore(&file, false).await.expect("restores"), made);
    assert_eq!(
        target.streams.list().await.expect("reads"),
        source.streams.list().await.expect("reads")
    );
    assert_eq!(target.settings.get("later").await.expect("reads"), None);
    assert_eq!(last_cue(&target).await, last_cue(&source).await);
    // New cues come after the restored ones.
    target.cues.insert(&[numbered(1)]).await.expect("stored");
    let all = Search { limit: 1, ..Search::default() };
    let newest = target.cues.search(&all).await.expect("searches")[0].id;
    assert!(newest > last_cue(&source).await.0, "{newest}");

    // Nothing is mixed, unless it is asked for.
    let refused = target.restore(&file, false).await.expect_err("not empty");
    assert!(matches!(refused, CopyError::NotEmpty("stream")), "{refused}");
    assert_eq!(target.restore(&file, true).await.expect("replaces"), made);
    assert_eq!(target.back_up(&folder.path().join("again.db")).await.expect("backs up"), made);
    let refused = target.back_up(&file).await.expect_err("it is there");
    assert!(refused.to_string().contains("replaces nothing"), "{refused}");
    source.close().await;
    target.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_sqlite() {
    goes_over(&TestFolder::make(), &TestFolder::make()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_postgres() {
    let Some(server) = TestServer::new() else { return };
    goes_over(&TestFolder::make(), &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_postgres_to_sqlite() {
    let Some(server) = TestServer::new() else { return };
    goes_over(&server, &TestFolder::make()).await;
}

#[tokio::test]
async fn a_backup_that_cannot_be_used_is_refused_and_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, database) = (tempfile::tempdir().expect("a folder"), TestFolder::make());
    let store = database.open().await;
    store.settings.set("key", "value").await.expect("stored");
    let file = folder.path().join("b.db");
    store.back_up(&file).await.expect("backs up");
    let mode = std::fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has tokens");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let bytes = std::fs::read(&file).expect("readable");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("written");
    store.restore(&file, true).await.expect_err("half of it");
    std::fs::write(&file, "no database").expect("written");
    store.restore(&file, true).await.expect_err("no database");
    store.restore(&folder.path().join("none.db"), true).await.expect_err("no file");
    // A database in use has more in its log than in its file.
    std::fs::write(folder.path().join("b.db-wal"), "x").expect("written");
    let refused = store.restore(&file, true).await.expect_err("in use");
    assert!(refused.to_string().contains("auralink backup"), "{refused}");
    assert_eq!(store.settings.get("key").await.expect("reads").as_deref(), Some("value"));
}

/// A table or column that [`TABLES`] lacks would be in no backup.
async fn knows_every_column(database: &impl TestDatabase, sql: &'static str) {
    let store = database.open().await;
    let rows = store.tables.rows(Access::Read, "list columns", Statement::new(sql)).await;
    let mut there: Vec<String> = Vec::new();
    for row in rows.expect("lists") {
        let [Value::Text(table), Value::Text(column)] = &row.into_values()[..] else {
            panic!("two texts")
        };
        there.push(format!("{table}.{column}"));
    }
    let mut known: Vec<String> = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| format!("{}.{column}", table.name)))
        .collect();
    known.sort();
    there.sort();
    assert_eq!(there, known);
}

#[tokio::test]
async fn every_column_of_sqlite_is_copied() {
    let sql = "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' \
               AND t.name <> '_sqlx_migrations' AND t.name NOT LIKE 'cue_text%'";
    knows_every_column(&TestFolder::make(), sql).await;
}

#[tokio::test]
async fn every_column_of_postgres_is_copied() {
    // The index of words is made anew.
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns \
               WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' \
               AND column_name <> 'word_index'";
    let Some(server) = TestServer::new() else { return };
    knows_every_column(&server, sql).await;
}
