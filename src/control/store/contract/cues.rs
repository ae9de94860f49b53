//! Tables `cue` and `cue_retention`.

use super::TestDatabase;
use crate::control::store::{CueRow, CueWord, Query, Search, Store};

/// A cue of one second.
pub(crate) fn cue(stream: &str, language: &str, start_ms: i64, text: &str) -> CueRow {
    CueRow {
        stream: stream.into(),
        language: language.into(),
        number: 1,
        running_ms: start_ms,
        start_ms,
        end_ms: start_ms + 1000,
        text: text.into(),
        words: Vec::new(),
        ends_sentence: true,
        engine: "test".into(),
        model: None,
        speaker: None,
    }
}

/// Cue of stream `a` that starts at this millisecond.
pub(crate) fn numbered(start_ms: i64) -> CueRow {
    cue("a", "en", start_ms, &format!("word {start_ms}"))
}

fn word(text: &str, confidence: f32) -> CueWord {
    CueWord { text: text.into(), start_offset_ms: 0, end_offset_ms: 320, confidence }
}

/// A search for this text, or for everything if it is empty.
pub(super) fn search(text: &str) -> Search {
    let query = (!text.is_empty()).then(|| Query::parse(text).expect(text));
    Search { query, limit: 100, ..Search::default() }
}

/// The texts of the cues that are found.
pub(super) async fn texts(store: &Store, search: &Search) -> Vec<String> {
    let found = store.cues.search(search).await.expect("searches");
    found.into_iter().map(|f| f.cue.text).collect()
}

pub(crate) async fn come_back_as_they_were_kept(database: &impl TestDatabase) {
    let store = database.open().await;
    let kept = CueRow {
        words: vec![word("And", 0.9)],
        model: Some("base.en@a03779c8".into()),
        speaker: Some("Speaker 2".into()),
        ..cue("a", "en", 5000, "And so")
    };
    store.cues.insert(std::slice::from_ref(&kept)).await.expect("keeps");
    let found = store.cues.search(&search("so")).await.expect("searches");
    assert_eq!(found[0].cue, kept);
    let mark = &found[0].marks[0];
    assert_eq!((found[0].marks.len(), &kept.text[mark.clone()]), (1, "so"));
}

pub(crate) async fn what_is_deleted_is_found_no_more(database: &impl TestDatabase) {
    let store = database.open().await;
    let rows: Vec<CueRow> = (0..2500).map(numbered).collect();
    store.cues.insert(&rows).await.expect("keeps");
    store.cues.insert(&[cue("a", "en", 2500, "new word")]).await.expect("keeps");
    store.cues.insert(&[cue("b", "en", 0, "old word of b")]).await.expect("keeps");
    assert_eq!(store.cues.delete("a", 2500).await.expect("deletes"), 2500);
    assert_eq!(texts(&store, &search("word")).await, ["old word of b", "new word"]);
    assert_eq!(store.cues.delete("b", 1).await.expect("deletes"), 1);
    assert_eq!(store.cues.delete("b", i64::MAX).await.expect("deletes"), 0);
    assert_eq!(store.cues.delete("a", i64::MAX).await.expect("deletes"), 1);
    assert!(texts(&store, &search("word")).await.is_empty());
    store.cues.insert(&[numbered(0)]).await.expect("keeps");
    let found = store.cues.search(&search("")).await.expect("searches");
    assert!(found[0].id > 2502, "ids are never used twice: {}", found[0].id);
}

pub(crate) async fn retention_is_kept_and_changed(database: &impl TestDatabase) {
    let store = database.open().await;
    assert_eq!(store.cues.retention().await.expect("reads"), []);
    for (stream, days) in [("b", 7), ("a", 30), ("c", 0), ("b", u32::MAX)] {
        store.cues.set_retention(stream, days).await.expect("keeps");
    }
    let expect = [("a".to_owned(), 30), ("b".to_owned(), u32::MAX)];
    assert_eq!(store.cues.retention().await.expect("reads"), expect);
    store.cues.set_retention("a", 0).await.expect("changes");
    assert_eq!(store.cues.retention().await.expect("reads"), expect[1..]);
}

pub(crate) async fn a_transcript_is_in_the_order_of_speech(database: &impl TestDatabase) {
    let store = database.open().await;
    let rows =
        [cue("a", "en", 2000, "two"), cue("a", "en", 1000, "one"), cue("a", "es", 1000, "uno")];
    store.cues.insert(&rows).await.expect("keeps");
    let all = Search { stream: Some("a".into()), limit: 10, ..Search::default() };
    let english = Search { language: Some("en".into()), ..all.clone() };
    let read = store.cues.transcript(&english).await.expect("reads");
    assert_eq!(read.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let late = Search { from_ms: Some(1999), ..english };
    assert_eq!(
        store.cues.transcript(&late).await.expect("reads").len(),
        2,
        "`one` reaches into it"
    );
    assert_eq!(store.cues.languages(&all).await.expect("reads"), ["en", "es"]);
    assert_eq!(store.cues.transcript(&Search { limit: 1, ..all }).await.expect("reads").len(), 1);
    let none = Search { limit: 10, ..Search::default() };
    assert_eq!(store.cues.transcript(&none).await.expect("reads"), []);
}

pub(crate) async fn a_batch_is_kept_as_a_whole_or_not_at_all(database: &impl TestDatabase) {
    let store = database.open().await;
    let broken = CueRow { words: vec![word("bad", f32::NAN)], ..cue("a", "en", 2, "bad word") };
    let batch = [cue("a", "en", 1, "good word"), broken];
    store.cues.insert(&batch).await.expect_err("it has no stored form");
    assert!(texts(&store, &search("word")).await.is_empty());
}

pub(crate) async fn unreadable_words_leave_the_text(database: &impl TestDatabase) {
    let store = database.open().await;
    let said = CueRow { words: vec![word("And", 0.5)], ..cue("a", "en", 0, "And") };
    for damage in ["UPDATE cue SET words = '{}'", "UPDATE cue SET words_version = 99"] {
        store.cues.insert(std::slice::from_ref(&said)).await.expect("keeps");
        database.execute(damage).await;
        let found = store.cues.search(&search("and")).await.expect("searches");
        assert_eq!(found[0].cue, CueRow { words: Vec::new(), ..said.clone() }, "{damage}");
    }
}
