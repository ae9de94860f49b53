//! A large archive: searches and deletions during writes.

use std::time::{Duration, Instant};

use super::TestDatabase;
use super::cues::cue;
use crate::control::store::{Error, Query, Search, Store};

/// Number of cues in the archive.
const STORED_CUES: u32 = 100_000;

/// Maximum time of a write; a longer one is blocked by others. It takes milliseconds on an idle
/// machine.
const WRITE_MAX: Duration = Duration::from_secs(2);

/// Cues per transaction of [`fill`].
const BATCH_CUES: u32 = 10_000;

/// Fills the archive: 5000 different words, and some that every cue has.
async fn fill(store: &Store) {
    for begin in (0..STORED_CUES).step_by(BATCH_CUES as usize) {
        let row = |n: u32| {
            let (word, speaker) = (n % 5000, n % 7);
            let text = format!("the word{word} of the day was said by speaker{speaker}");
            cue("a", "en", i64::from(n), &text)
        };
        let rows: Vec<_> = (begin..begin + BATCH_CUES).map(row).collect();
        store.cues.insert(&rows).await.expect("filled");
    }
}

/// Repeats one search; every answer is a page or a clear refusal.
async fn keep_searching(store: Store, text: &'static str) {
    loop {
        let query = Some(Query::parse(text).expect(text));
        let search = Search { query, limit: 50, ..Search::default() };
        match store.cues.search(&search).await {
            Ok(found) => assert!(found.len() <= 50),
            Err(Error::Busy | Error::Costly) => {}
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

pub(crate) async fn searches_and_deletions_hold_up_no_writer(database: &impl TestDatabase) {
    let store = database.open().await;
    fill(&store).await;
    let texts = ["wor*", "the word", "spea* wor* said", "\"of the day\"", "東京", "nosuchword"];
    let searches = texts.map(|text| tokio::spawn(keep_searching(store.clone(), text)));
    let deleting = store.clone();
    let half = i64::from(STORED_CUES / 2);
    let begun = Instant::now();
    let deletion = tokio::spawn(async move { deleting.cues.delete("a", half).await });
    let mut took = Vec::new();
    while !deletion.is_finished() {
        let asked = Instant::now();
        store.settings.set("key", "value").await.expect("written");
        took.push(asked.elapsed());
    }
    let deleted = deletion.await.expect("no panic").expect("deleted");
    assert_eq!(deleted, u64::from(STORED_CUES / 2));
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
