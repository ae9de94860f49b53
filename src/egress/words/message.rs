//! The messages themselves.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::flow::{self, CueFeed};
use crate::media::{Cue, Language, Stage};

/// One message to whoever follows captions.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// What there is; the first message, and another whenever it changes.
    Hello(Hello),
    /// Somebody says something.
    Cue(CueMessage),
}

impl Message {
    /// The word in its `type` field.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Cue(_) => "cue",
        }
    }

    /// Brings what depends on the time of sending up to now.
    pub(crate) fn stamp(&mut self) {
        match self {
            Self::Hello(hello) => (hello.now_ms, hello.wall_ms) = now_and_wall(),
            Self::Cue(cue) => cue.age_ms = age_ms(cue.end_ms),
        }
    }

    /// As text.
    pub fn to_json(&self) -> String {
        // Strings and numbers always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What there is, and what time it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Hello {
    /// Version of these messages: 1. Fields may be added to it.
    pub version: u32,
    /// Running time of the appliance when this was sent, in ms: the clock of `start_ms` and
    /// `end_ms`.
    pub now_ms: u64,
    /// The same moment as wall-clock time, in ms since 1970 (UTC).
    pub wall_ms: u64,
    /// Languages of the captions, the original first.
    pub languages: Vec<HelloLanguage>,
}

/// One language of captions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HelloLanguage {
    /// BCP 47 tag; `und` while the language is being detected.
    #[schema(value_type = String, example = "es")]
    pub tag: Language,
    /// Its own name: `español`.
    pub name: String,
    /// Whether it is the one that is spoken.
    pub original: bool,
}

impl Hello {
    /// What these feeds carry, now.
    pub fn new(feeds: &[CueFeed]) -> Self {
        let language = |(index, feed): (usize, &CueFeed)| {
            let tag = heard(feed);
            HelloLanguage { name: tag.name().to_owned(), original: index == 0, tag }
        };
        let (now_ms, wall_ms) = now_and_wall();
        Self {
            version: 1,
            now_ms,
            wall_ms,
            languages: feeds.iter().enumerate().map(language).collect(),
        }
    }
}

/// The language of a feed: what its newest cue says where it is being detected.
fn heard(feed: &CueFeed) -> Language {
    let asked = feed.language();
    if *asked != Language::undetermined() {
        return asked.clone();
    }
    feed.newest().map_or_else(|| asked.clone(), |cue| cue.language)
}

/// Something that is said, in one language.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CueMessage {
    /// Counts the committed cues of a language from 1; a partial cue has the number of the
    /// committed cue that it may become, and each new one replaces the last.
    pub id: u64,
    /// BCP 47 tag.
    #[schema(value_type = String, example = "es")]
    pub language: Language,
    /// Whether it may still change.
    #[schema(value_type = String, example = "committed")]
    pub stage: Stage,
    /// When it begins to be said: running time of the appliance in ms, like timestamps of media.
    pub start_ms: u64,
    /// When it has been said.
    pub end_ms: u64,
    /// How long ago it had been said when this was sent, in ms; negative for what is still to
    /// come. A player that is `d` behind the appliance shows it `d - age_ms` from now.
    pub age_ms: i64,
    /// What is said.
    pub text: String,
    /// The same word by word, where the engine knows the words.
    pub words: Vec<WordMessage>,
    /// Whether a sentence ends with it.
    pub ends_sentence: bool,
    /// What made it: `whisper`, `basic`, `api` …
    pub engine: String,
    /// Its model, where it has one.
    pub model: Option<String>,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WordMessage {
    /// The word with its punctuation.
    pub text: String,
    /// When it begins, in ms of running time.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// How sure the engine is, 0-1.
    pub confidence: f32,
}

fn now_and_wall() -> (u64, u64) {
    let now = flow::now();
    (now.mseconds(), ms(flow::wall_clock(now)))
}

fn age_ms(end_ms: u64) -> i64 {
    flow::now().mseconds().cast_signed().saturating_sub_unsigned(end_ms)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<&Cue> for CueMessage {
    /// As it is sent now.
    fn from(cue: &Cue) -> Self {
        let word = |word: &crate::media::Word| WordMessage {
            text: word.text.clone(),
            start_ms: ms(word.start),
            end_ms: ms(word.end),
            confidence: (word.confidence * 1000.0).round() / 1000.0,
        };
        let end_ms = ms(cue.end);
        Self {
            id: cue.id,
            language: cue.language.clone(),
            stage: cue.stage,
            start_ms: ms(cue.start),
            end_ms,
            age_ms: age_ms(end_ms),
            text: cue.text.clone(),
            words: cue.words.iter().map(word).collect(),
            ends_sentence: cue.ends_sentence,
            engine: cue.origin.engine.clone(),
            model: cue.origin.model.clone(),
        }
    }
}
