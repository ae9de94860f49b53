//! Searches of the caption archive.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::TestDatabase;
use super::cues::{cue, search, texts};
use crate::control::store::{CueRow, Query, Search};

/// Searches of [`nothing_that_is_typed_is_an_error`].
const TYPED_TEXTS: usize = 64;

/// Pieces of these searches that mean something to some index.
const SYNTAX: [&str; 12] =
    ["NEAR", "OR", "text :", "&", "|", "!", "<->", ":*", "\\", "%", "\0", "\0東"];

pub(crate) async fn words_phrases_beginnings_and_accents(database: &impl TestDatabase) {
    let store = database.open().await;
    let all = [
        "ask not what your country can do for you",
        "ask what you can do for your country.",
        "Le café, déjà vu: ¿mañana?",
        "100% sure; it's O'Brien -- \"quoted\"",
        "今日は東京の天気です",
    ];
    let rows: Vec<CueRow> =
        all.iter().zip(1..).map(|(text, n)| cue("a", "en", n * 1000, text)).collect();
    store.cues.insert(&rows).await.expect("keeps");
    let check = async |text: &str, expect: &[usize]| {
        let found = texts(&store, &search(text)).await;
        let expect: Vec<_> = expect.iter().map(|n| all[*n].to_owned()).collect();
        assert_eq!(found, expect, "{text}");
    };
    check("country", &[1, 0]).await;
    check("COUNTRY ask", &[1, 0]).await;
    check("\"your country\"", &[1, 0]).await;
    check("\"ask not\"", &[0]).await;
    check("\"not ask\"", &[]).await;
    check("coun*", &[1, 0]).await;
    check("coun", &[]).await;
    check("cafe deja", &[2]).await;
    check("MAÑANA", &[2]).await;
    check("o'brien", &[3]).await;
    check("100%", &[3]).await;
    check("NOT AND OR", &[]).await;
    check("東京", &[4]).await;
    check("天気 東京", &[4]).await;
    check("京都", &[]).await;
}

pub(crate) async fn marks_are_where_the_words_are(database: &impl TestDatabase) {
    let store = database.open().await;
    let text = "Señor, ask not; ask 東京 again";
    store.cues.insert(&[cue("a", "es", 0, text)]).await.expect("keeps");
    let found = store.cues.search(&search("ask 東京 senor")).await.expect("searches");
    let marked: Vec<_> = found[0].marks.iter().map(|mark| &text[mark.clone()]).collect();
    assert_eq!(marked, ["Señor", "ask", "ask", "東京"]);
}

pub(crate) async fn streams_languages_and_times_narrow_a_search(database: &impl TestDatabase) {
    let store = database.open().await;
    let rows = [
        cue("a", "en", 1000, "one word"),
        cue("b", "pt-BR", 2000, "two word"),
        cue("a", "pt", 3000, "three word"),
        cue("a", "en", 4000, "four word"),
    ];
    store.cues.insert(&rows).await.expect("keeps");
    let three = store.cues.search(&search("three")).await.expect("searches")[0].id;
    for text in ["word", ""] {
        let base = || search(text);
        let check = async |search: Search, expect: &[&str]| {
            let firsts: Vec<String> = texts(&store, &search)
                .await
                .iter()
                .map(|t| t.split(' ').next().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(firsts, expect, "{search:?}");
        };
        check(base(), &["four", "three", "two", "one"]).await;
        check(Search { stream: Some("b".into()), ..base() }, &["two"]).await;
        check(Search { language: Some("pt".into()), ..base() }, &["three", "two"]).await;
        check(Search { language: Some("pt-BR".into()), ..base() }, &["two"]).await;
        check(Search { from_ms: Some(2500), ..base() }, &["four", "three", "two"]).await;
        check(Search { to_ms: Some(2000), ..base() }, &["one"]).await;
        check(Search { from_ms: Some(3000), to_ms: Some(4000), ..base() }, &["three"]).await;
        check(Search { limit: 2, ..base() }, &["four", "three"]).await;
        check(Search { before: Some(three), ..base() }, &["two", "one"]).await;
    }
}

pub(crate) async fn nothing_that_is_typed_is_an_error(database: &impl TestDatabase) {
    let store = database.open().await;
    store.cues.insert(&[cue("a", "en", 1, "near or text")]).await.expect("keeps");
    let piece = prop_oneof![
        "[a-z\"*'():^{}+-]{0,6}",
        proptest::sample::select(&SYNTAX[..]).prop_map(str::to_owned),
        "\\PC{0,4}",
    ];
    let typed = proptest::collection::vec(piece, 0..8);
    let mut runner = TestRunner::default();
    for _ in 0..TYPED_TEXTS {
        let pieces = typed.new_tree(&mut runner).expect("a value").current();
        for joint in [" ", ""] {
            let text = pieces.join(joint);
            if let Ok(query) = Query::parse(&text) {
                let search = Search { query: Some(query), limit: 5, ..Search::default() };
                let found = store.cues.search(&search).await;
                assert!(found.is_ok(), "{text:?}: {found:?}");
            }
        }
    }
}
