//! The caption archive on a real SQLite.

use proptest::prelude::*;

use super::*;

async fn store() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("temporary folder");
    (Store::open(folder.path()).await.expect("opens"), folder)
}

fn cue(stream: &str, language: &str, start_ms: i64, text: &str) -> CueRow {
    CueRow {
        stream: stream.into(),
        language: language.into(),
        number: 1,
        running_ms: start_ms,
        start_ms,
        end_ms: start_ms + 1000,
        text: text.into(),
        words: "[]".into(),
        ends_sentence: true,
        engine: "test".into(),
        model: None,
    }
}

/// Maps ages to times, relative to this time.
fn of(now_ms: i64) -> impl Fn(Duration) -> Option<i64> {
    move |age| Some(now_ms - i64::try_from(age.as_millis()).expect("fits"))
}

fn search(text: &str) -> Search {
    let query = (!text.is_empty()).then(|| Query::parse(text).expect(text));
    Search { query, limit: 100, ..Search::default() }
}

async fn texts(store: &Store, search: &Search) -> Vec<String> {
    let found = store.search_cues(search).await.expect("searches");
    found.into_iter().map(|f| f.cue.text).collect()
}

#[tokio::test]
async fn cues_come_back_as_they_were_kept() {
    let (store, _folder) = store().await;
    let kept = CueRow {
        words: "[[\"And\",0,320,0.9]]".into(),
        model: Some("base.en@a03779c8".into()),
        ..cue("a", "en", 5000, "And so")
    };
    store.insert_cues(std::slice::from_ref(&kept)).await.expect("keeps");
    let found = store.search_cues(&search("so")).await.expect("searches");
    assert_eq!(found[0].cue, kept);
    let mark = &found[0].marks[0];
    assert_eq!((found[0].marks.len(), &kept.text[mark.clone()]), (1, "so"));
}

#[tokio::test]
async fn words_phrases_beginnings_and_accents() {
    let (store, _folder) = store().await;
    let all = [
        "ask not what your country can do for you",
        "ask what you can do for your country.",
        "Le café, déjà vu: ¿mañana?",
        "100% sure; it's O'Brien -- \"quoted\"",
        "今日は東京の天気です",
    ];
    let rows: Vec<CueRow> =
        all.iter().zip(1..).map(|(text, n)| cue("a", "en", n * 1000, text)).collect();
    store.insert_cues(&rows).await.expect("keeps");
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

#[tokio::test]
async fn marks_are_where_the_words_are() {
    let (store, _folder) = store().await;
    let text = "Señor, ask not; ask 東京 again";
    store.insert_cues(&[cue("a", "es", 0, text)]).await.expect("keeps");
    let found = store.search_cues(&search("ask 東京 senor")).await.expect("searches");
    let marked: Vec<_> = found[0].marks.iter().map(|mark| &text[mark.clone()]).collect();
    assert_eq!(marked, ["Señor", "ask", "ask", "東京"]);
}

#[tokio::test]
async fn streams_languages_and_times_narrow_a_search() {
    let (store, _folder) = store().await;
    let rows = [
        cue("a", "en", 1000, "one word"),
        cue("b", "pt-BR", 2000, "two word"),
        cue("a", "pt", 3000, "three word"),
        cue("a", "en", 4000, "four word"),
    ];
    store.insert_cues(&rows).await.expect("keeps");
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
        check(Search { before: Some(3), ..base() }, &["two", "one"]).await;
    }
}

#[tokio::test]
async fn what_is_deleted_is_found_no_more() {
    let (store, _folder) = store().await;
    let old = 1_000_000;
    let rows: Vec<CueRow> = (0..2500).map(|n| cue("a", "en", old + n, "old word")).collect();
    store.insert_cues(&rows).await.expect("keeps");
    let now = old + 8 * 86_400_000;
    store.insert_cues(&[cue("a", "en", now - 1000, "new word")]).await.expect("keeps");
    store.insert_cues(&[cue("b", "en", old, "old word of b")]).await.expect("keeps");
    store.retain_cues("a", 7).await.expect("keeps");
    store.retain_cues("b", 0).await.expect("keeps");
    assert_eq!(store.expire_cues(of(now)).await.expect("expires"), 2500);
    assert_eq!(texts(&store, &search("word")).await, ["old word of b", "new word"]);
    store.retain_cues("b", 7).await.expect("changes");
    assert_eq!(store.expire_cues(of(now)).await.expect("expires"), 1);
    assert_eq!(store.delete_cues("a", i64::MAX).await.expect("deletes"), 1);
    assert!(texts(&store, &search("word")).await.is_empty());
    let check = "INSERT INTO cue_text (cue_text, rank) VALUES ('integrity-check', 1)";
    sqlx::query(check).execute(&store.writer).await.expect("index and table agree");
}

#[tokio::test]
async fn a_transcript_is_in_the_order_of_speech() {
    let (store, _folder) = store().await;
    let rows =
        [cue("a", "en", 2000, "two"), cue("a", "en", 1000, "one"), cue("a", "es", 1000, "uno")];
    store.insert_cues(&rows).await.expect("keeps");
    let all = Search { stream: Some("a".into()), limit: 10, ..Search::default() };
    let english = Search { language: Some("en".into()), ..all.clone() };
    let read = store.transcript(&english).await.expect("reads");
    assert_eq!(read.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let late = Search { from_ms: Some(1999), ..english };
    assert_eq!(store.transcript(&late).await.expect("reads").len(), 2, "`one` reaches into it");
    assert_eq!(store.cue_languages(&all).await.expect("reads"), ["en", "es"]);
    assert_eq!(store.transcript(&Search { limit: 1, ..all }).await.expect("reads").len(), 1);
}

#[tokio::test]
async fn a_batch_is_kept_as_a_whole_or_not_at_all() {
    let (store, _folder) = store().await;
    let broken = CueRow { words: "no JSON".into(), ..cue("a", "en", 2, "bad word") };
    let batch = [cue("a", "en", 1, "good word"), broken];
    store.insert_cues(&batch).await.expect_err("the constraint holds");
    assert!(texts(&store, &search("word")).await.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_that_is_typed_is_an_error_or_gets_out_of_its_quotes(
        typed in proptest::collection::vec(
            prop_oneof!["[a-z\"*'():^{}+-]{0,6}", Just("NEAR".to_owned()), Just("OR".to_owned()),
                Just("text :".to_owned()), "\\PC{0,4}", Just("\0".to_owned())], 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (store, _folder) = store().await;
            store.insert_cues(&[cue("a", "en", 1, "near or text")]).await.expect("keeps");
            for joint in [" ", ""] {
                if let Ok(query) = Query::parse(&typed.join(joint)) {
                    let search = Search { query: Some(query), limit: 5, ..Search::default() };
                    store.search_cues(&search).await.expect("no syntax error");
                }
            }
        });
    }
}
