//! Carries captions from the node that makes them to their consumers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::clock;
use crate::media::{Cue, IgnorePoison, Language};

/// Most cues that a slow reader may be behind; it loses older ones, counted.
const BACKLOG_CUES_MAX: usize = 256;

/// First number of cues pushed from outside. Engines count from 1 and translations keep the numbers
/// of their originals, so neither reaches these on any feed.
const FIRST_PUSHED_NUMBER: u64 = 1 << 40;

/// The next number of a pushed cue, across all feeds.
static NEXT: AtomicU64 = AtomicU64::new(FIRST_PUSHED_NUMBER);

/// Committed cues kept for new readers.
const RECENT_CUES_MAX: usize = 64;

/// A named fan-out point for text, the counterpart of [`super::Feed`]: `captions.en`,
/// `captions.es`. Cheap to clone.
///
/// A reader that cannot keep up loses its own cues, counted, and never holds back the feed.
#[derive(Clone)]
pub struct CueFeed(Arc<Inner>);

struct Inner {
    name: String,
    language: Language,
    sender: broadcast::Sender<Cue>,
    recent: Mutex<VecDeque<Cue>>,
    stats: CueStats,
}

/// Running totals of a cue feed.
#[derive(Debug, Default)]
pub struct CueStats {
    /// Committed cues.
    pub committed: AtomicU64,
    /// Partial cues.
    pub partial: AtomicU64,
    /// Words of the committed cues.
    pub words: AtomicU64,
    /// Delay of the newest committed cue: milliseconds between the end of its last word and the
    /// clock.
    pub delay_ms: AtomicU64,
    /// Cues that slow readers have lost.
    pub dropped_slow: AtomicU64,
}

impl CueFeed {
    /// A feed without readers. `name` is unique within its stream. `language` is its language,
    /// `und` until a source whose language is detected has been heard.
    pub fn new(name: impl Into<String>, language: Language) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            language,
            sender: broadcast::Sender::new(BACKLOG_CUES_MAX),
            recent: Mutex::default(),
            stats: CueStats::default(),
        }))
    }

    /// The feed's name within its stream.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The requested language; each cue carries its own.
    pub fn language(&self) -> &Language {
        &self.0.language
    }

    /// Totals.
    pub fn stats(&self) -> &CueStats {
        &self.0.stats
    }

    /// Number of current readers.
    pub fn readers(&self) -> usize {
        self.0.sender.receiver_count()
    }

    /// Sends a cue to all readers. Never waits.
    pub fn publish(&self, cue: Cue) {
        let stats = &self.0.stats;
        if cue.is_committed() {
            stats.committed.fetch_add(1, Ordering::Relaxed);
            let words = cue.text.split_whitespace().count() as u64;
            stats.words.fetch_add(words, Ordering::Relaxed);
            let said = gst::ClockTime::from_nseconds(cue.end.as_nanos() as u64);
            let delay = clock::now().saturating_sub(said);
            stats.delay_ms.store(delay.mseconds(), Ordering::Relaxed);
            let mut recent = self.0.recent.lock().ignore_poison();
            if recent.len() == RECENT_CUES_MAX {
                recent.pop_front();
            }
            recent.push_back(cue.clone());
        } else {
            stats.partial.fetch_add(1, Ordering::Relaxed);
        }
        // The feed may have no readers.
        let _ = self.0.sender.send(cue);
    }

    /// Publishes a cue from outside. It gets a number that is unique in this process; returns it.
    pub fn append(&self, mut cue: Cue) -> u64 {
        cue.id = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = cue.id;
        self.publish(cue);
        id
    }

    /// The newest committed cue.
    pub fn newest(&self) -> Option<Cue> {
        self.0.recent.lock().ignore_poison().back().cloned()
    }

    /// The newest committed cues, oldest first, at most 64.
    pub fn recent(&self) -> Vec<Cue> {
        self.0.recent.lock().ignore_poison().iter().cloned().collect()
    }

    /// A reader of all cues published from now on.
    pub fn subscribe(&self) -> CueReader {
        CueReader { receiver: self.0.sender.subscribe(), feed: Arc::clone(&self.0) }
    }
}

/// One reader of a [`CueFeed`].
pub struct CueReader {
    receiver: broadcast::Receiver<Cue>,
    feed: Arc<Inner>,
}

impl CueReader {
    /// The next cue. Waits without limit on a quiet feed: use it in a `select!` with what ends the
    /// reader. Safe to cancel.
    pub async fn next(&mut self) -> Cue {
        loop {
            match self.receiver.recv().await {
                Ok(cue) => return cue,
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    self.feed.stats.dropped_slow.fetch_add(lost, Ordering::Relaxed);
                }
                // The reader holds the feed, and the feed holds the sender.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// The feed that is read.
    pub fn feed(&self) -> CueFeed {
        CueFeed(Arc::clone(&self.feed))
    }
}

/// The caption feeds of one stream; they come and go while consumers run. Cheap to clone.
#[derive(Clone)]
pub struct CaptionFeeds {
    feeds: Arc<watch::Sender<Vec<CueFeed>>>,
    ended: CancellationToken,
}

impl Default for CaptionFeeds {
    fn default() -> Self {
        let feeds = Arc::new(watch::Sender::new(Vec::new()));
        Self { feeds, ended: CancellationToken::new() }
    }
}

impl CaptionFeeds {
    /// Replaces the feeds; the original language comes first.
    pub fn set(&self, feeds: Vec<CueFeed>) {
        let names = |feeds: &[CueFeed]| feeds.iter().map(|f| Arc::as_ptr(&f.0)).collect::<Vec<_>>();
        self.feeds.send_if_modified(|now| {
            let differ = names(now) != names(&feeds);
            *now = feeds;
            differ
        });
    }

    /// The current feeds, the original language first.
    pub fn feeds(&self) -> Vec<CueFeed> {
        self.feeds.borrow().clone()
    }

    /// Whether a cue comes again on another feed: see [`is_repeated`].
    pub fn repeat(&self, feed: &CueFeed, cue: &Cue) -> bool {
        is_repeated(&self.feeds.borrow(), feed, cue)
    }

    /// Follows the feeds as they come and go; closes with the stream.
    pub fn subscribe(&self) -> watch::Receiver<Vec<CueFeed>> {
        self.feeds.subscribe()
    }

    /// Ends the stream: nothing will be published on any feed any more.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// The token that [`Self::end`] cancels.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// A reader of all cues published on any of the feeds from now on.
    pub fn read(&self) -> CaptionFeedsReader {
        let caption_feeds = self.feeds.subscribe();
        let readers = caption_feeds.borrow().iter().map(CueFeed::subscribe).collect();
        CaptionFeedsReader { caption_feeds, readers }
    }
}

/// Whether a cue comes again on another of the feeds: its feed has what is spoken, in any language, and
/// there is a feed of the cue's own language, which passes on what needs no translation.
pub fn is_repeated(feeds: &[CueFeed], feed: &CueFeed, cue: &Cue) -> bool {
    let own = |other: &CueFeed| other.language().same_language(&cue.language);
    *feed.language() == Language::undetermined() && feeds.iter().any(own)
}

/// One reader of all feeds of a [`CaptionFeeds`].
pub struct CaptionFeedsReader {
    caption_feeds: watch::Receiver<Vec<CueFeed>>,
    readers: Vec<CueReader>,
}

impl CaptionFeedsReader {
    /// The next cue and its feed. Waits without limit on a quiet caption feeds. Safe to cancel.
    pub async fn next(&mut self) -> (CueFeed, Cue) {
        loop {
            let cues = self.readers.iter_mut().map(|reader| {
                Box::pin(async {
                    let cue = reader.next().await;
                    (reader.feed(), cue)
                })
            });
            let cues: Vec<_> = cues.collect();
            let any = async {
                match cues.is_empty() {
                    true => std::future::pending().await,
                    false => futures::future::select_all(cues).await.0,
                }
            };
            tokio::select! {
                // Cues of a removed feed are still read.
                biased;
                found = any => return found,
                changed = self.caption_feeds.changed() => {
                    if changed.is_err() {
                        // The stream has ended; this reader is dropped soon.
                        std::future::pending::<()>().await;
                    }
                }
            }
            self.follow();
        }
    }

    /// Drops the readers of removed feeds and joins new feeds, as [`Self::next`] does while it
    /// waits. For callers that announce a feed before they wait.
    pub fn follow(&mut self) {
        let feeds = self.caption_feeds.borrow_and_update().clone();
        let same = |a: &Arc<Inner>, b: &CueFeed| Arc::ptr_eq(a, &b.0);
        self.readers.retain(|reader| feeds.iter().any(|feed| same(&reader.feed, feed)));
        for feed in &feeds {
            if !self.readers.iter().any(|reader| same(&reader.feed, feed)) {
                self.readers.push(feed.subscribe());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::{Origin, Stage};

    fn cue(id: u64) -> Cue {
        Cue {
            id,
            language: Language::english(),
            stage: Stage::Committed,
            start: Duration::ZERO,
            end: Duration::from_secs(1),
            text: format!("cue {id}"),
            words: Arc::default(),
            ends_sentence: true,
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
            speaker: None,
        }
    }

    #[tokio::test]
    async fn a_slow_reader_loses_its_own_cues_only() {
        crate::init().expect("GStreamer starts");
        let feed = CueFeed::new("captions.en", Language::english());
        let (mut slow, mut quick) = (feed.subscribe(), feed.subscribe());
        let total = BACKLOG_CUES_MAX as u64 + 10;
        for id in 1..=total {
            feed.publish(cue(id));
            assert_eq!(quick.next().await.id, id);
        }
        assert_eq!(slow.next().await.id, 11);
        assert_eq!(feed.stats().dropped_slow.load(Ordering::Relaxed), 10);
        assert_eq!(feed.recent().len(), RECENT_CUES_MAX);
        assert_eq!(feed.recent().first().map(|c| c.id), Some(total + 1 - RECENT_CUES_MAX as u64));
    }

    #[test]
    fn pushed_cues_and_those_of_engines_never_have_the_same_number() {
        crate::init().expect("GStreamer starts");
        let feed = |tag: &str| CueFeed::new(tag, tag.parse().expect("a language"));
        let (english, spanish) = (feed("en"), feed("es"));
        english.publish(cue(1));
        let pushed = [english.append(cue(0)), spanish.append(cue(0)), spanish.append(cue(0))];
        english.publish(cue(2));
        // What was pushed in English is translated under the same number.
        spanish.publish(cue(pushed[0]));
        for feed in [english, spanish] {
            let mut ids: Vec<u64> = feed.recent().iter().map(|c| c.id).collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!((ids.len(), count), (3, 3), "{ids:?}");
        }
        assert!(
            pushed.iter().all(|id| (FIRST_PUSHED_NUMBER..1 << 53).contains(id)),
            "JavaScript counts so far"
        );
    }

    #[tokio::test]
    async fn a_reader_of_the_board_follows_feeds_that_come_and_go() {
        crate::init().expect("GStreamer starts");
        let feed = |tag: &str| CueFeed::new(tag, tag.parse().expect("a language"));
        let (english, spanish) = (feed("en"), feed("es"));
        let caption_feeds = CaptionFeeds::default();
        let mut reader = caption_feeds.read();
        caption_feeds.set(vec![english.clone()]);
        let first = tokio::join!(reader.next(), async {
            // The reader joins when it is polled; it does not get earlier cues.
            while english.readers() == 0 {
                tokio::task::yield_now().await;
            }
            english.publish(cue(1));
        });
        assert_eq!((first.0.0.name(), first.0.1.id), ("en", 1));
        caption_feeds.set(vec![spanish.clone()]);
        let second = tokio::join!(reader.next(), async {
            while spanish.readers() == 0 {
                tokio::task::yield_now().await;
            }
            spanish.publish(cue(2));
        });
        assert_eq!((second.0.0.name(), english.readers()), ("es", 0));
    }
}
