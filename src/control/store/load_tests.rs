//! A large archive: searches and deletions during writes.

use std::time::{Duration, Instant};

use super::*;

/// Number of cues in the archive.
const CUES: u32 = 100_000;

/// Maximum time of a write; a longer one is blocked by others. It takes milliseconds on an idle
/// machine.
const WRITE_MAX: Duration = Duration::from_secs(2);

/// Fills the archive: 5000 different words, and some that every cue has.
async fn fill(store: &Store) {
    let sql = "WITH RECURSIVE n (x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < ? - 1) \
               INSERT INTO cue (stream, language, number, running_ms, start_ms, end_ms, text, \
               words, ends_sentence, engine) SELECT 'a', 'en', x, x, x, x + 1, \
               'the word' || (x % 5000) || ' of the day was said by speaker' || (x % 7), '[]', 1, \
               'test' FROM n";
    sqlx::query(sql).bind(CUES).execute(&store.writer).await.expect("filled");
}

/// Repeats one search; every answer is a page or a clear refusal.
async fn keep_searching(store: Store, text: &'static str) {
    loop {
        let query = Some(Query::parse(text).expect(text));
        let search = Search { query, limit: 50, ..Search::default() };
        match store.search_cues(&search).await {
            Ok(found) => assert!(found.len() <= 50),
            Err(Error::Busy | Error::Costly) => {}
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_and_deletions_hold_up_no_writer() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(folder.path()).await.expect("opens");
    fill(&store).await;
    let texts = ["wor*", "the word", "spea* wor* said", "\"of the day\"", "東京", "nosuchword"];
    let searches = texts.map(|text| tokio::spawn(keep_searching(store.clone(), text)));
    let deleting = store.clone();
    let half = i64::from(CUES / 2);
    let begun = Instant::now();
    let deletion = tokio::spawn(async move { deleting.delete_cues("a", half).await });
    let mut took = Vec::new();
    while !deletion.is_finished() {
        let asked = Instant::now();
        store.set_setting("key", "value").await.expect("written");
        took.push(asked.elapsed());
    }
    let deleted = deletion.await.expect("no panic").expect("deleted");
    assert_eq!(deleted, u64::from(CUES / 2));
    took.sort();
    let longest = *took.last().expect("there were writes");
    eprintln!(
        "{deleted} cues deleted in {:?} beside {} searches; {} writes: median {:?}, longest {longest:?}",
        begun.elapsed(),
        searches.len(),
        took.len(),
        took[took.len() / 2],
    );
    assert!(longest < WRITE_MAX, "a write waited for {longest:?}");
    assert!(took.len() > 20, "the deletion lets others in: {} times", took.len());
    for search in searches {
        assert!(!search.is_finished(), "a search failed");
        search.abort();
    }
}
