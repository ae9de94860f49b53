//! The archive on a real database.

use std::time::Duration;

use chrono::Utc;

use super::*;
use crate::control::store::{Query, Store};
use crate::media::{Language, Origin, Stage};

fn cue(id: u64, text: &str) -> Cue {
    let start = Duration::from_millis(id * 1000);
    let word = |(n, text): (u64, &str)| Word {
        text: text.into(),
        start: start + Duration::from_millis(n * 200),
        end: start + Duration::from_millis(n * 200 + 150),
        confidence: 0.5,
    };
    Cue {
        id,
        language: Language::english(),
        stage: Stage::Committed,
        start,
        end: start + Duration::from_secs(1),
        text: text.into(),
        words: (0..).zip(text.split(' ')).map(word).collect(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: Some("m@1".into()) }),
        speaker: None,
    }
}

fn name() -> StreamName {
    "studio-1".parse().expect("a name")
}

/// An archive whose writer runs until the token is cancelled.
async fn running() -> (Archive, CancellationToken, tokio::task::JoinHandle<()>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&Default::default(), folder.path()).await.expect("opens");
    let (archive, cancel, task) = running_on(&store);
    (archive, cancel, task, folder)
}

fn running_on(store: &Store) -> (Archive, CancellationToken, tokio::task::JoinHandle<()>) {
    crate::init().expect("GStreamer starts");
    let (archive, writer) = Archive::new(store.cues.clone());
    let cancel = CancellationToken::new();
    let task = tokio::spawn(writer.run(cancel.clone()));
    (archive, cancel, task)
}

async fn search(archive: &Archive, text: &str) -> Vec<Found> {
    let query = Some(Query::parse(text).expect("words"));
    let search = Search { query, limit: 1000, ..Search::default() };
    archive.search(&search).await.expect("searches")
}

#[tokio::test]
async fn a_cue_is_found_within_a_second_with_its_words_and_times() {
    let (archive, cancel, task, _folder) = running().await;
    let said = Cue { text: "ask not\nwhat\u{2}".into(), ..cue(3, "ask not what") };
    archive.keep(&name(), &said, 30);
    archive.keep(&name(), &Cue { stage: Stage::Partial, ..cue(4, "ask partial") }, 30);
    archive.keep(&name(), &cue(5, " "), 30);
    let found = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let found = search(&archive, "ask").await;
            if !found.is_empty() {
                break found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    let found = found.await.expect("in time");
    assert_eq!(found.len(), 1, "neither partial nor empty cues: {found:?}");
    let row = &found[0].cue;
    assert_eq!((row.text.as_str(), row.running_ms, row.number), ("ask not what", 3000, 3));
    let expect = millis(flow::wall_clock(gst::ClockTime::from_mseconds(3000)));
    assert_eq!((row.start_ms, row.end_ms), (expect, expect + 1000));
    let CueWord { text, start_offset_ms, end_offset_ms, confidence } = &row.words[1];
    let times = (*start_offset_ms, *end_offset_ms);
    assert_eq!((text.as_str(), times, *confidence), ("not", (200, 350), 0.5));
    assert_eq!(archive.totals(), Totals { kept: 1, lost: 0 });
    cancel.cancel();
    task.await.expect("ends");
}

#[tokio::test]
async fn what_waits_at_the_end_is_written() {
    let (archive, cancel, task, _folder) = running().await;
    for id in 0..1000 {
        archive.keep(&name(), &cue(id, "word"), 0);
    }
    cancel.cancel();
    task.await.expect("ends");
    assert_eq!(search(&archive, "word").await.len(), 1000);
    archive.keep(&name(), &cue(1, "late"), 0);
    assert_eq!(archive.totals(), Totals { kept: 1000, lost: 1 });
}

#[tokio::test]
async fn nobody_waits_for_a_database_that_hangs() {
    crate::init().expect("GStreamer starts");
    let folder = tempfile::tempdir().expect("temporary folder");
    // No writer runs.
    let store = Store::open(&Default::default(), folder.path()).await.expect("opens");
    let (archive, _writer) = Archive::new(store.cues);
    let begun = std::time::Instant::now();
    for id in 0..5000 {
        archive.keep(&name(), &cue(id, "word"), 0);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(archive.totals().lost, 5000 - WAITING_CUES_MAX as u64);
}

#[tokio::test]
async fn a_database_that_fails_loses_cues_and_counts_them() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&Default::default(), folder.path()).await.expect("opens");
    let (archive, cancel, task) = running_on(&store);
    store.close().await;
    archive.keep(&name(), &cue(1, "word"), 0);
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(3), task).await.expect("ends soon").expect("ends");
    assert_eq!(archive.totals(), Totals { kept: 0, lost: 1 });
}

#[tokio::test]
async fn the_days_of_a_stream_are_kept_and_changed() {
    let (archive, cancel, task, folder) = running().await;
    archive.keep(&name(), &cue(1, "old word"), 0);
    archive.keep(&name(), &cue(2, "new word"), 1);
    cancel.cancel();
    task.await.expect("ends");
    let store = Store::open(&Default::default(), folder.path()).await.expect("opens");
    let later = Utc::now().timestamp_millis() + 2 * 86_400_000;
    let later = |age: Duration| Some(later - age.as_millis() as i64);
    assert_eq!(expire(&*store.cues, later).await.expect("expires"), 2, "the newest setting holds");
    assert_eq!(archive.forget(&name(), None).await.expect("deletes"), 0);
}

#[tokio::test]
async fn only_cues_that_are_old_enough_expire() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cues = Store::open(&Default::default(), folder.path()).await.expect("opens").cues;
    crate::init().expect("GStreamer starts");
    let now = Utc::now().timestamp_millis();
    let of = |stream: &str, age_days: i64| CueRow {
        start_ms: now - age_days * 86_400_000,
        ..row(&stream.parse().expect("a name"), &cue(1, "word"))
    };
    let rows = [of("a", 8), of("a", 9), of("a", 6), of("b", 8)];
    cues.insert(&rows).await.expect("keeps");
    let cutoff = |age: Duration| Some(now - i64::try_from(age.as_millis()).expect("fits"));
    let check = async |a: u32, b: u32, expect: u64| {
        cues.set_retention("a", a).await.expect("keeps");
        cues.set_retention("b", b).await.expect("keeps");
        assert_eq!(expire(&*cues, |_| None).await.expect("expires"), 0, "the time is unknown");
        assert_eq!(expire(&*cues, cutoff).await.expect("expires"), expect);
    };
    check(0, 0, 0).await;
    check(7, 0, 2).await;
    check(7, 7, 1).await;
    check(7, 7, 0).await;
}
