//! The contract on SQLite, and what only SQLite has: the file, its first schema, its constraints.

use std::os::unix::fs::PermissionsExt;

use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};

use super::*;
use crate::control::store::contract::{TestDatabase, contract_tests};
use crate::control::store::{Config, Query, Search, Store};

/// A database in a folder of its own.
pub(in crate::control::store) struct TestFolder(tempfile::TempDir);

impl TestFolder {
    pub(in crate::control::store) fn make() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(file(self.0.path()));
        options.create_if_missing(true).connect().await.expect("connects")
    }
}

impl TestDatabase for TestFolder {
    fn new() -> Option<Self> {
        Some(Self::make())
    }

    async fn open(&self) -> Store {
        Store::open(&Config::default(), self.0.path()).await.expect("opens")
    }

    async fn execute(&self, sql: &'static str) {
        let mut connection = self.connect().await;
        connection.execute(sql).await.expect(sql);
        connection.close().await.expect("closes");
    }
}

contract_tests!(TestFolder);

#[tokio::test]
async fn the_file_is_for_its_owner_only_and_opens_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for _ in 0..2 {
        let store =
            Store::open(&Config::default(), &folder.path().join("a/b")).await.expect("opens");
        store.close().await;
    }
    let mode = std::fs::metadata(folder.path().join("a/b/auralink.db")).expect("there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let opened = SqliteBackend::open(Path::new("/proc/nowhere")).await;
    let error = opened.err().expect("read-only");
    assert!(error.to_string().contains("/proc/nowhere/auralink.db"), "{error}");
}

/// Databases of programs that knew no versions of formats.
#[tokio::test]
async fn a_database_of_the_schema_without_versions_is_read() {
    let database = TestFolder::make();
    let mut old = database.connect().await;
    MIGRATIONS.run_to(4, &mut old).await.expect("the old schema");
    let rows = r#"
        INSERT INTO stream VALUES ('good', '{"name":"good","linger_s":7}', '', '');
        INSERT INTO stream VALUES ('odd', '{"name":"odd","gone":1}', '', '');
        INSERT INTO cue VALUES (1, 'good', 'en', 1, 0, 1000, 2000, 'And so',
            '[["And",0,320,0.9],["so",330,500,1.0]]', 1, 'test', NULL);
        INSERT INTO cue VALUES (2, 'good', 'en', 2, 0, 3000, 4000, 'odd words', '{}', 1, 'test', NULL);
    "#;
    old.execute(rows).await.expect("inserted");
    old.close().await.expect("closes");

    let store = database.open().await;
    let streams = store.streams.list().await.expect("reads");
    assert_eq!(streams[0].spec.as_ref().map(|spec| spec.linger_s), Ok(7));
    let reason = streams[1].spec.as_ref().expect_err("an unknown field");
    assert!(streams[1].name == "odd" && reason.contains("gone"), "{reason}");
    let query = Some(Query::parse("so").expect("a word"));
    let search = Search { query, limit: 9, ..Search::default() };
    let found = store.cues.search(&search).await.expect("searches");
    assert_eq!((found.len(), found[0].cue.words[1].start_offset_ms), (1, 330));
    let all = Search { stream: Some("good".into()), limit: 9, ..Search::default() };
    let read = store.cues.transcript(&all).await.expect("reads");
    assert_eq!((read[1].text.as_str(), read[1].words.len()), ("odd words", 0));
}

#[tokio::test]
async fn columns_of_json_take_nothing_else() {
    let database = TestFolder::make();
    database.open().await.close().await;
    let mut connection = database.connect().await;
    for sql in [
        "INSERT INTO stream (name, spec, created_at, updated_at) VALUES ('a', 'no JSON', '', '')",
        "INSERT INTO cue (stream, language, number, running_ms, start_ms, end_ms, text, words, \
         ends_sentence, engine) VALUES ('a', 'en', 1, 1, 1, 1, 'text', 'no JSON', 1, 'test')",
    ] {
        connection.execute(sql).await.expect_err("the constraint holds");
    }
}

#[tokio::test]
async fn index_and_table_agree_after_deletions() {
    let database = TestFolder::make();
    let store = database.open().await;
    let cues: Vec<_> = (0..500).map(crate::control::store::contract::cues::numbered).collect();
    store.cues.insert(&cues).await.expect("keeps");
    assert_eq!(store.cues.delete("a", 300).await.expect("deletes"), 300);
    store.close().await;
    database.execute("INSERT INTO cue_text (cue_text, rank) VALUES ('integrity-check', 1)").await;
}
