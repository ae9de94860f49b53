//! The caption messages.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::flow::{self, CueFeed};
use crate::media::{Cue, Language, Stage};

/// One message to a reader of captions.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// Languages and time. The first message, and sent again when the languages change.
    Hello(Hello),
    /// One cue.
    Cue(CueMessage),
}

impl Message {
    /// The value of its `type` field.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Cue(_) => "cue",
        }
    }

    /// Updates the fields that depend on the time of sending.
    pub(crate) fn stamp(&mut self) {
        match self {
            Self::Hello(hello) => (hello.now_ms, hello.wall_ms) = now_and_wall(),
            Self::Cue(cue) => cue.age_ms = age_ms(cue.end_ms),
        }
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Languages of the captions and the current time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Hello {
    /// Version of the message format: 1. New fields may be added within a version.
    pub version: u32,
    /// Running time of the appliance at sending, in ms: the clock of `start_ms` and `end_ms`.
    pub now_ms: u64,
    /// The same time by the wall clock, in ms since 1970 (UTC).
    pub wall_ms: u64,
    /// Languages of the captions, the original first.
    pub languages: Vec<HelloLanguage>,
}

/// One caption language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HelloLanguage {
    /// BCP 47 tag; `und` while the language is being detected.
    #[schema(value_type = String, example = "es")]
    pub tag: Language,
    /// Native name: `español`.
    pub name: String,
    /// Whether it is the spoken language.
    pub original: bool,
}

impl Hello {
    /// The languages of these feeds and the current time.
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

/// The language of a feed; if it is detected, that of its newest cue.
fn heard(feed: &CueFeed) -> Language {
    let asked = feed.language();
    if *asked != Language::undetermined() {
        return asked.clone();
    }
    feed.newest().map_or_else(|| asked.clone(), |cue| cue.language)
}

/// One cue in one language.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CueMessage {
    /// Number of the committed cue, per language from 1. A partial cue has the number of the
    /// committed cue that it may become, and replaces the previous one.
    pub id: u64,
    /// BCP 47 tag of its language.
    #[schema(value_type = String, example = "es")]
    pub language: Language,
    /// Whether it may still change.
    #[schema(value_type = String, example = "committed")]
    pub stage: Stage,
    /// Start of the speech: running time of the appliance in ms, like media timestamps.
    pub start_ms: u64,
    /// End of the speech, in ms of running time.
    pub end_ms: u64,
    /// Time from the end of the speech to the sending of this message, in ms; negative if the end
    /// is in the future. A player that is `d` behind the appliance shows the cue `d - age_ms` from
    /// now.
    pub age_ms: i64,
    /// The text.
    pub text: String,
    /// The words with their times. Empty if the engine does not report words.
    pub words: Vec<WordMessage>,
    /// Whether a sentence ends with this cue.
    pub ends_sentence: bool,
    /// The engine that made it: `whisper`, `basic`, `api` …
    pub engine: String,
    /// Its model; omitted if it has none.
    pub model: Option<String>,
    /// Label of who speaks, as `Speaker 1`; omitted if speakers are not told apart. It identifies
    /// nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WordMessage {
    /// The word with its punctuation.
    pub text: String,
    /// Start, in ms of running time.
    pub start_ms: u64,
    /// End, in ms of running time.
    pub end_ms: u64,
    /// Confidence of the engine, 0-1.
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
    /// The message for a cue, with the current time.
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
            speaker: cue.speaker.as_deref().map(str::to_owned),
        }
    }
}
