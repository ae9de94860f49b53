//! Cues from external sources.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::super::extract::{Json, Params};
use super::super::{ApiState, Code, Error, Failures};
use crate::egress::words::CueMessage;
use crate::flow::{self, CueFeed};
use crate::media::{Cue, Language, Origin, Stage, StreamName};
use crate::speech::language::{LanguageTracker, identify};

/// Maximum length of the text, in characters: about a minute of speech.
const TEXT_CHARS_MAX: usize = 1000;

/// Maximum length of a speaker's label, in characters: it shares a line of 42 with the text.
const SPEAKER_CHARS_MAX: usize = 40;

/// Maximum distance of the start of a cue from now, before or after, in ms.
const AWAY_MAX_MS: u64 = 10 * 60_000;

/// Maximum duration of a cue, in ms.
const DURATION_MAX_MS: u64 = 60_000;

/// Shortest default duration, before reading time.
const SHOWN_MIN_MS: u64 = 1000;
/// Reading time of a character: 17 a second, as in broadcasters' guidelines.
const CHARACTER_MS: u64 = 1000 / 17;

static ORIGIN: LazyLock<Arc<Origin>> =
    LazyLock::new(|| Arc::new(Origin { engine: "api".into(), model: None }));

/// A cue to be added.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct NewCue {
    /// Language of the text; must be one of the stream's caption languages. Left out: the spoken
    /// language; where that is `auto`, it is told from the text.
    #[schema(value_type = Option<String>, example = "en")]
    language: Option<Language>,
    /// The text, 1-1000 characters; line breaks become spaces.
    #[schema(example = "Good evening.")]
    text: String,
    /// Label of who speaks, 1-40 characters.
    #[schema(example = "Speaker 1")]
    speaker: Option<String>,
    /// Start, as running time in ms like `start_ms` of other cues. Default: now.
    start_ms: Option<u64>,
    /// Duration in ms, 1-60000. Default: the reading time.
    duration_ms: Option<u64>,
}

fn invalid(field: &str, what: &str) -> Error {
    let hint = "correct the field; /api/v1/openapi.json describes it";
    Error::new(Code::Invalid, format!("`{field}`: {what}"), hint)
}

impl NewCue {
    fn speaker(&self) -> Result<Option<Arc<str>>, Error> {
        let Some(label) = self.speaker.as_deref().map(str::trim) else { return Ok(None) };
        let fits = (1..=SPEAKER_CHARS_MAX).contains(&label.chars().count());
        if !fits || label.chars().any(char::is_control) {
            let what = format!("it is not 1-{SPEAKER_CHARS_MAX} characters without line breaks");
            return Err(invalid("speaker", &what));
        }
        Ok(Some(label.into()))
    }

    /// The cue at running time `now_ms`.
    fn cue(&self, now_ms: u64) -> Result<Cue, Error> {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let length = text.chars().count();
        if !(1..=TEXT_CHARS_MAX).contains(&length) {
            return Err(invalid(
                "text",
                &format!("{length} characters are not 1-{TEXT_CHARS_MAX}"),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(invalid("text", "it has control characters"));
        }
        let start = self.start_ms.unwrap_or(now_ms);
        if start.abs_diff(now_ms) > AWAY_MAX_MS {
            let what = format!("it is more than ten minutes from now, which is {now_ms}");
            return Err(invalid("start_ms", &what));
        }
        let to_read = SHOWN_MIN_MS + CHARACTER_MS * length as u64;
        let duration = self.duration_ms.unwrap_or(to_read);
        if !(1..=DURATION_MAX_MS).contains(&duration) {
            return Err(invalid("duration_ms", &format!("it is not 1-{DURATION_MAX_MS}")));
        }
        Ok(Cue {
            // The feed assigns the number.
            id: 0,
            language: self.language.clone().unwrap_or_else(Language::undetermined),
            stage: Stage::Committed,
            start: Duration::from_millis(start),
            end: Duration::from_millis(start + duration),
            ends_sentence: text.ends_with(['.', '!', '?', '…', '。', '！', '？']),
            text,
            words: Arc::default(),
            origin: Arc::clone(&ORIGIN),
            speaker: self.speaker()?,
        })
    }
}

/// Adds an external cue, such as a stenographer's or another system's.
///
/// It goes to all viewers, outputs and files like a transcribed cue, with `api` as its engine.
#[utoipa::path(post, path = "/api/v1/streams/{name}/captions/cues", tag = "captions",
    params(("name" = String, Path)), request_body = NewCue,
    responses((status = 201, body = CueMessage), Failures))]
pub(in super::super) async fn push_cue(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Json(new): Json<NewCue>,
) -> Result<(StatusCode, axum::Json<CueMessage>), Error> {
    let mut cue = new.cue(flow::now().mseconds())?;
    let feeds = state.supervisor().caption_feeds(&name).await?.feeds();
    let feed = match &new.language {
        Some(language) => feed_of(&feeds, language),
        None => feeds.first(),
    };
    let Some(feed) = feed else {
        return Err(no_captions(&name, new.language.as_ref(), &feeds));
    };
    if new.language.is_none() {
        let spoken = super::settings(&state.supervisor().wanted(&name)?).spoken;
        cue.language = told(&cue.text, feed, &spoken)?;
    }
    let id = feed.append(cue.clone());
    Ok((StatusCode::CREATED, axum::Json((&Cue { id, ..cue }).into())))
}

/// The feed of a language. An original feed whose language is being detected takes any other
/// language.
fn feed_of<'a>(feeds: &'a [CueFeed], language: &Language) -> Option<&'a CueFeed> {
    let detected = |feed: &&CueFeed| *feed.language() == Language::undetermined();
    let exact = feeds.iter().find(|feed| feed.language() == language);
    exact.or_else(|| feeds.iter().find(detected))
}

/// The language of a text in the original feed: the feed's own, or if that is detected, the text's
/// with the newest cue's in doubt.
fn told(text: &str, feed: &CueFeed, spoken: &[Language]) -> Result<Language, Error> {
    if *feed.language() != Language::undetermined() {
        return Ok(feed.language().clone());
    }
    let mut tracker = LanguageTracker::new(feed.newest().map(|cue| cue.language));
    if let Some(guess) = identify(text, spoken) {
        tracker.hear(0, &guess);
    }
    let unknown = || invalid("language", "this text does not tell it; name it");
    tracker.current().cloned().ok_or_else(unknown)
}

fn no_captions(name: &StreamName, language: Option<&Language>, feeds: &[CueFeed]) -> Error {
    let there: Vec<&str> = feeds.iter().map(|feed| feed.language().as_str()).collect();
    let asked = language.map_or("the spoken language".into(), |l| format!("`{l}`"));
    let there = if there.is_empty() { "none now".into() } else { there.join(", ") };
    Error::new(
        Code::NoCaptions,
        format!("stream `{name}` has no captions in {asked}; it has {there}"),
        "set `language` or `translate` by PATCH …/captions, and push while the stream is on air",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue_gets_its_place_in_time_and_nonsense_is_refused() {
        let check = |body: &str, expect: &str| {
            let new: NewCue = serde_json::from_str(body).expect("JSON");
            let found = new.cue(1_000_000).map_or_else(
                |e| e.to_string(),
                |c| format!("{} {}+{}", c.text, c.start.as_millis(), (c.end - c.start).as_millis()),
            );
            assert!(found.starts_with(expect), "{body}: {found}");
        };
        check(r#"{"language": "en", "text": "Hello"}"#, "Hello 1000000+1290");
        check(
            r#"{"language": "en", "text": " a\n b ", "start_ms": 990000, "duration_ms": 5}"#,
            "a b 990000+5",
        );
        check(r#"{"text": "Hello", "speaker": "Ann"}"#, "Hello 1000000");
        check(r#"{"text": "a", "speaker": " "}"#, "`speaker`: it is not 1-40 characters");
        check(r#"{"language": "en", "text": " \n"}"#, "`text`: 0 characters");
        check(r#"{"language": "en", "text": "a\u0007"}"#, "`text`: it has control");
        check(r#"{"language": "en", "text": "a", "start_ms": 1}"#, "`start_ms`: it is more");
        check(r#"{"language": "en", "text": "a", "duration_ms": 0}"#, "`duration_ms`");
    }
}
