//! Transcripts and their formats.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::time::date_text;
use super::{CueRow, CueWord, Error};
use crate::captions::{FileClock, Shaper, Shown, srt, vtt};
use crate::media::{Cue, Language, Origin, Stage, StreamName, Word};

/// Silence after which a new paragraph begins, in milliseconds.
const PARAGRAPH_MS: i64 = 5000;

/// The transcript of a stream.
#[derive(Serialize, ToSchema)]
pub(in crate::control::api) struct Transcript {
    /// Name of the stream.
    stream: String,
    /// Cues in order of speech.
    cues: Vec<CueView>,
}

/// One cue.
#[derive(Serialize, ToSchema)]
struct CueView {
    /// Number of the cue in its feed since the stream started. A translation has the number of its
    /// original.
    number: i64,
    /// Language of the text.
    language: String,
    /// When the speech began.
    #[schema(format = DateTime)]
    start: String,
    /// When the speech ended.
    #[schema(format = DateTime)]
    end: String,
    /// The text.
    text: String,
    /// Whether a sentence ends with this cue.
    ends_sentence: bool,
    /// The words with their times. Empty if the engine does not report words, as for translations.
    words: Vec<WordView>,
    /// The engine that made it.
    engine: String,
    /// Its model and the first digits of the model's hash.
    model: Option<String>,
    /// Label of who spoke, where speakers are told apart.
    speaker: Option<String>,
}

/// One word.
#[derive(Serialize, ToSchema)]
struct WordView {
    /// Text of the word.
    text: String,
    /// Seconds from the start of the cue to the start of the word.
    start_s: f64,
    /// Seconds from the start of the cue to the end of the word.
    end_s: f64,
    /// Confidence of the engine, 0-1.
    confidence: f32,
}

pub(super) fn json(stream: &StreamName, cues: &[CueRow]) -> Result<String, Error> {
    let cues = cues.iter().map(view).collect();
    let transcript = Transcript { stream: stream.to_string(), cues };
    serde_json::to_string(&transcript).map_err(|e| Error::internal("writing the transcript", &e))
}

fn view(cue: &CueRow) -> CueView {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let word = |word: &CueWord| WordView {
        text: word.text.clone(),
        start_s: seconds(word.start_offset_ms),
        end_s: seconds(word.end_offset_ms),
        confidence: word.confidence,
    };
    CueView {
        number: cue.number,
        language: cue.language.clone(),
        start: date_text(cue.start_ms),
        end: date_text(cue.end_ms),
        text: cue.text.clone(),
        ends_sentence: cue.ends_sentence,
        words: cue.words.iter().map(word).collect(),
        engine: cue.engine.clone(),
        model: cue.model.clone(),
        speaker: cue.speaker.clone(),
    }
}

/// Cues grouped as they are shown, with times since 1970. Renumbered: a restarted stream begins
/// with 1 again, and numbers in a file must be unique.
fn shown(cues: &[CueRow]) -> Vec<Shown> {
    let mut shaper = Shaper::default();
    (1..).zip(cues).flat_map(|(number, cue)| shaper.shape(&as_cue(number, cue))).collect()
}

fn as_cue(id: u64, cue: &CueRow) -> Cue {
    let at = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let word = |word: &CueWord| Word {
        text: word.text.clone(),
        start: at(cue.start_ms.saturating_add(word.start_offset_ms)),
        end: at(cue.start_ms.saturating_add(word.end_offset_ms)),
        confidence: word.confidence,
    };
    Cue {
        id,
        language: cue.language.parse().unwrap_or_else(|_| Language::english()),
        stage: Stage::Committed,
        start: at(cue.start_ms),
        end: at(cue.end_ms),
        text: cue.text.clone(),
        words: cue.words.iter().map(word).collect(),
        ends_sentence: cue.ends_sentence,
        origin: Arc::new(Origin { engine: cue.engine.clone(), model: cue.model.clone() }),
        speaker: cue.speaker.as_deref().map(Arc::from),
    }
}

fn clock(begin_ms: i64) -> FileClock {
    FileClock { origin: Duration::from_millis(u64::try_from(begin_ms).unwrap_or(0)) }
}

pub(super) fn vtt(cues: &[CueRow], begin_ms: i64) -> String {
    let (clock, style) = (clock(begin_ms), vtt::Style::default());
    let body = shown(cues).iter().map(|one| vtt::cue(one, clock, &style)).collect::<String>();
    format!("{}{body}", vtt::HEADER)
}

pub(super) fn srt(cues: &[CueRow], begin_ms: i64) -> String {
    let mut writer = srt::Writer::new(clock(begin_ms));
    shown(cues).iter().map(|one| writer.cue(one)).collect()
}

/// The text only: one line per sentence, an empty line after a silence; the label of a speaker where
/// another begins.
pub(super) fn txt(cues: &[CueRow]) -> String {
    let mut text = String::new();
    let mut before: Option<&CueRow> = None;
    for cue in cues {
        let turn = cue.speaker.is_some() && before.is_none_or(|b| b.speaker != cue.speaker);
        if let Some(before) = before {
            let silence = cue.start_ms.saturating_sub(before.end_ms) >= PARAGRAPH_MS;
            text.push_str(match (silence, before.ends_sentence || turn) {
                (true, _) => "\n\n",
                (false, true) => "\n",
                (false, false) => " ",
            });
        }
        if let Some(speaker) = cue.speaker.as_deref().filter(|_| turn) {
            text.push_str(speaker);
            text.push_str(": ");
        }
        text.push_str(&cue.text);
        before = Some(cue);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
