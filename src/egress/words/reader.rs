//! Follows the captions of a stream in selected languages.

use std::collections::VecDeque;

use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::message::{Hello, HelloLanguage, Message};
use crate::flow::{CaptionFeeds, CaptionFeedsReader, CueFeed, is_repeated};
use crate::media::{Cue, Language};

/// Maximum number of languages that a reader may select.
const LANGUAGES_MAX: usize = 32;

/// The cues that a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Selected languages, possibly none; `None` selects all. A tag without script or region
    /// selects all variants; `original` selects the spoken language.
    languages: Option<Vec<String>>,
    /// Whether to include cues that may still change.
    pub partial: bool,
}

/// A command of a reader: `{"type":"select","languages":["es"]}`.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Command {
    /// Selects languages from now on: `[]` selects none, a missing field all.
    Select { languages: Option<Vec<String>>, partial: Option<bool> },
}

impl Selection {
    /// All languages, with partial cues.
    pub fn everything() -> Self {
        Self { languages: None, partial: true }
    }

    /// Parses a comma-separated list of tags.
    ///
    /// # Errors
    /// The tag that is not a language, as text.
    pub fn of(list: Option<&str>, partial: bool) -> Result<Self, String> {
        let split = |list: &str| list.split(',').map(|tag| tag.trim().to_owned()).collect();
        let mut selection = Self { languages: None, partial };
        selection.name(list.filter(|list| !list.is_empty()).map(split))?;
        Ok(selection)
    }

    /// Applies a command of the reader.
    ///
    /// # Errors
    /// What is wrong with it, as text; the selection stays unchanged.
    pub fn change(&mut self, command: &str) -> Result<(), String> {
        let command: Command = serde_json::from_str(command).map_err(|e| e.to_string())?;
        let Command::Select { languages, partial } = command;
        self.name(languages)?;
        self.partial = partial.unwrap_or(self.partial);
        Ok(())
    }

    fn name(&mut self, languages: Option<Vec<String>>) -> Result<(), String> {
        let tags = languages.as_deref().unwrap_or_default();
        if tags.len() > LANGUAGES_MAX {
            return Err(format!("more than {LANGUAGES_MAX} languages"));
        }
        for tag in tags.iter().filter(|tag| *tag != "original") {
            tag.parse::<Language>().map_err(|e| e.to_string())?;
        }
        self.languages = languages;
        Ok(())
    }

    /// Whether a cue of a feed is selected; the original feed is the first one. `repeated`: it comes
    /// again on the feed of its language.
    fn wants(&self, feed: &CueFeed, original: bool, repeated: bool, cue: &Cue) -> bool {
        let fits = |tag: &str, language: &Language| {
            tag.eq_ignore_ascii_case(language.as_str()) || tag == language.primary()
        };
        let named = |tag: &String| {
            (tag == "original" && original)
                || fits(tag, feed.language())
                || (!repeated && fits(tag, &cue.language))
        };
        (self.partial || cue.is_committed())
            && self.languages.as_ref().is_none_or(|tags| tags.iter().any(named))
    }
}

/// A reader of a stream's captions.
pub struct Reader {
    selection: Selection,
    /// A receiver only: the last [`CaptionFeeds`] that is dropped ends the reader.
    caption_feeds: watch::Receiver<Vec<CueFeed>>,
    cues: CaptionFeedsReader,
    /// The languages in the last `hello`.
    told: Option<Vec<HelloLanguage>>,
    /// Cancelled when the stream ends.
    ended: CancellationToken,
    /// Received cues that are not delivered yet, oldest first.
    waiting: VecDeque<(CueFeed, Cue)>,
}

impl Reader {
    /// Follows the caption feeds from now on, starting with at most `recent` of the newest committed cues of
    /// each feed.
    pub fn new(feeds: &CaptionFeeds, selection: Selection, recent: usize) -> Self {
        let (cues, ended, caption_feeds) = (feeds.read(), feeds.ended(), feeds.subscribe());
        let mut before: Vec<(CueFeed, Cue)> = Vec::new();
        for feed in caption_feeds.borrow().iter() {
            let all = feed.recent();
            let from = all.len().saturating_sub(recent);
            before.extend(all.into_iter().skip(from).map(|cue| (feed.clone(), cue)));
        }
        before.sort_by_key(|(_, cue)| cue.end);
        Self { selection, caption_feeds, cues, told: None, ended, waiting: before.into() }
    }

    /// Applies a command of the reader.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn command(&mut self, text: &str) -> Result<(), String> {
        self.selection.change(text)
    }

    /// The next message, with the feed of a cue. `None` when the stream has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<(Option<CueFeed>, Message)> {
        loop {
            if let Some(hello) = self.hello() {
                return Some((None, hello));
            }
            let Some((feed, cue)) = self.waiting.pop_front() else {
                tokio::select! {
                    // The last cues are delivered before the end.
                    biased;
                    // Restarts the loop, because the cue may be in a new language.
                    found = self.cues.next() => self.waiting.push_back(found),
                    () = self.ended.cancelled() => return None,
                    changed = self.caption_feeds.changed() => if changed.is_err() {
                        return None;
                    },
                }
                continue;
            };
            let original =
                self.caption_feeds.borrow().first().is_some_and(|f| f.name() == feed.name());
            let repeated = is_repeated(&self.caption_feeds.borrow(), &feed, &cue);
            if self.selection.wants(&feed, original, repeated, &cue) {
                return Some((Some(feed), Message::Cue((&cue).into())));
            }
        }
    }

    /// A `hello` if the languages have changed since the last one.
    fn hello(&mut self) -> Option<Message> {
        // Follows the announced feeds first, so that none of their cues is missed.
        self.cues.follow();
        let hello = Hello::new(&self.caption_feeds.borrow_and_update());
        if self.told.as_ref() == Some(&hello.languages) {
            return None;
        }
        self.told = Some(hello.languages.clone());
        Some(Message::Hello(hello))
    }
}
