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

/// Cues of [`pages_of_a_large_archive_are_quick`], unless `$AURALINK_LOAD_CUES` names another number:
/// 1000000 for docs/measurements.md.
const LOAD_CUES: u32 = 30_000;

/// Streams that have them.
const LOAD_STREAMS: u32 = 20;

/// Repetitions of each kind of request.
const LOAD_REQUESTS: u32 = 100;

/// Longest page at the 95th percentile on a machine that does other things too. docs/measurements.md
/// has what it takes on an idle one.
const PAGE_MAX: Duration = Duration::from_secs(1);

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    /// A number below this one.
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from((self.0 >> 33) % u64::from(end)).unwrap_or(0)
    }

    /// A word of 20,000, some of them in every other cue and most of them rare, as in speech.
    fn word(&mut self) -> String {
        let part = f64::from(self.below(1 << 20)) / f64::from(1 << 20);
        format!("word{}", (20_000f64.powf(part)) as u32)
    }

    fn words(&mut self, count: u32) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// Cues of all streams, spoken one after the other in each: one a second.
async fn fill_streams(store: &Store, count: u32) {
    let mut dice = Dice(7);
    for begin in (0..count).step_by(BATCH_CUES as usize) {
        let mut row = |n: u32| {
            let (stream, words) = (n % LOAD_STREAMS, 5 + n % 6);
            let language = ["en", "en-GB", "es"][(n % 3) as usize];
            let start_ms = i64::from(n / LOAD_STREAMS) * 1000;
            cue(&format!("stream{stream}"), language, start_ms, &dice.words(words))
        };
        let rows: Vec<_> = (begin..count.min(begin + BATCH_CUES)).map(&mut row).collect();
        store.cues.insert(&rows).await.expect("filled");
    }
}

/// Kinds of requests.
const LOAD_KINDS: [&str; 11] = [
    "all",
    "a stream's list",
    "a time",
    "a stream's time",
    "a transcript",
    "common words",
    "any word",
    "two words",
    "a stream's words",
    "a phrase",
    "a beginning",
];

/// A request of this kind to an archive that is so many milliseconds long.
fn request(kind: &str, length_ms: u32, dice: &mut Dice) -> Search {
    let typed = match kind {
        "common words" => "word1".to_owned(),
        "any word" => dice.word(),
        "two words" | "a stream's words" => dice.words(2),
        "a phrase" => format!("\"{}\"", dice.words(2)),
        "a beginning" => format!("word{}*", 10 + dice.below(90)),
        _ => String::new(),
    };
    let of_stream = kind.contains("stream") || kind == "a transcript";
    let from_ms = i64::from(dice.below(length_ms));
    let duration_ms = match kind {
        "a time" | "a stream's time" => Some(600_000),
        "a transcript" => Some(3_600_000),
        _ => None,
    };
    Search {
        query: (!typed.is_empty()).then(|| Query::parse(&typed).expect("words")),
        stream: of_stream.then(|| format!("stream{}", dice.below(LOAD_STREAMS))),
        from_ms: duration_ms.map(|_| from_ms),
        to_ms: duration_ms.map(|duration_ms| from_ms + duration_ms),
        limit: if kind == "a transcript" { 1000 } else { 50 },
        ..Search::default()
    }
}

/// Requests of this kind, with the time of each in order. Refused ones count as endless.
async fn pages(store: &Store, kind: &str, length_ms: u32, dice: &mut Dice) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..LOAD_REQUESTS {
        let (search, begun) = (request(kind, length_ms, dice), Instant::now());
        let answer = match kind {
            "a transcript" => store.cues.transcript(&search).await.map(drop),
            _ => store.cues.search(&search).await.map(drop),
        };
        match answer {
            Ok(()) => took.push(begun.elapsed()),
            Err(Error::Costly | Error::Busy) => took.push(Duration::MAX),
            Err(error) => panic!("{kind}: {error}"),
        }
    }
    took.sort();
    took
}

pub(crate) async fn pages_of_a_large_archive_are_quick(database: &impl TestDatabase) {
    let named = std::env::var("AURALINK_LOAD_CUES").ok();
    let count = named.map_or(LOAD_CUES, |count| count.parse().expect("a number of cues"));
    let store = database.open().await;
    let begun = Instant::now();
    fill_streams(&store, count).await;
    database.execute("ANALYZE").await;
    eprintln!("{count} cues written in {:.1?}", begun.elapsed());
    let mut dice = Dice(11);
    for kind in LOAD_KINDS {
        let took = pages(&store, kind, count / LOAD_STREAMS * 1000, &mut dice).await;
        let (median, p95) = (took[took.len() / 2], took[took.len() * 95 / 100]);
        eprintln!(
            "{kind:<16} median {median:>9.2?}  p95 {p95:>9.2?}  longest {:.2?}",
            took[took.len() - 1]
        );
        assert!(p95 < PAGE_MAX, "{kind}: {p95:?}");
    }
}
