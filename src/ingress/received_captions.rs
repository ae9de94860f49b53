//! Captions that another appliance sends, by language.

use crate::flow::{CaptionFeeds, CueFeed};
use crate::media::Language;
use crate::webrtc::trunk::SentCue;

/// Writes the captions of another appliance to the feeds of a publisher.
pub(super) struct ReceivedCaptions<'a> {
    caption_feeds: &'a CaptionFeeds,
    feeds: Vec<CueFeed>,
}

impl<'a> ReceivedCaptions<'a> {
    /// Without a language yet.
    pub(super) fn new(caption_feeds: &'a CaptionFeeds) -> Self {
        Self { caption_feeds, feeds: Vec::new() }
    }

    /// Sets the languages of the other end. Feeds of unchanged languages continue.
    pub(super) fn put_up(&mut self, tags: &[Language]) {
        let known = |tag: &Language| self.feeds.iter().find(|f| f.language() == tag).cloned();
        let name = |tag: &Language| match *tag == Language::undetermined() {
            true => "captions.auto".to_owned(),
            false => format!("captions.{tag}"),
        };
        let feed =
            |tag: &Language| known(tag).unwrap_or_else(|| CueFeed::new(name(tag), tag.clone()));
        let mut feeds: Vec<CueFeed> = Vec::new();
        for tag in tags {
            if !feeds.iter().any(|f| f.language() == tag) {
                feeds.push(feed(tag));
            }
        }
        self.feeds = feeds;
        self.caption_feeds.set(self.feeds.clone());
    }

    /// Passes a cue on.
    pub(super) fn publish(&self, cue: SentCue) {
        if let Some(feed) = self.feeds.iter().find(|feed| feed.language() == cue.feed()) {
            feed.publish(cue.cue());
        }
    }
}

impl Drop for ReceivedCaptions<'_> {
    /// Without the other end there are no captions.
    fn drop(&mut self) {
        self.caption_feeds.set(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::media::{Cue, Origin, Stage};

    #[test]
    fn languages_come_and_go_and_feeds_that_stay_are_the_same() {
        crate::init().expect("GStreamer starts");
        let caption_feeds = CaptionFeeds::default();
        let mut received = ReceivedCaptions::new(&caption_feeds);
        let tags = |list: &[&str]| -> Vec<Language> {
            list.iter().map(|t| t.parse().expect("a tag")).collect()
        };
        received.put_up(&tags(&["en", "es", "en"]));
        let before = caption_feeds.feeds();
        assert_eq!(
            before.iter().map(CueFeed::name).collect::<Vec<_>>(),
            ["captions.en", "captions.es"]
        );
        before[0].append(Cue { text: "kept".into(), ..sample() });
        received.put_up(&tags(&["en"]));
        assert_eq!(caption_feeds.feeds().len(), 1);
        assert_eq!(caption_feeds.feeds()[0].recent()[0].text, "kept");
        drop(received);
        assert!(caption_feeds.feeds().is_empty());
    }

    fn sample() -> Cue {
        Cue {
            id: 0,
            language: Language::english(),
            stage: Stage::Committed,
            start: Duration::ZERO,
            end: Duration::from_millis(1),
            text: String::new(),
            words: Default::default(),
            ends_sentence: false,
            origin: Arc::new(Origin { engine: "x".into(), model: None }),
            speaker: None,
        }
    }
}
