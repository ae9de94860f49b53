//! Cues with all their data: words, times, confidence, language, engine, model.
//!
//! A file is one document, `{"cues": [...]}`, with one cue per line. It grows cue by cue and is
//! valid at any moment: [`HEAD`], elements, [`TAIL`]. Each new element overwrites the tail, and is
//! followed by it, in one write.

use std::time::Duration;

use serde::Serialize;

use super::shape::FileClock;
use crate::media::Cue;

/// A cue in a file. Times are in seconds from the start of the file.
#[derive(Serialize)]
struct Line<'a> {
    id: u64,
    language: &'a str,
    start: f64,
    end: f64,
    text: &'a str,
    confidence: f64,
    ends_sentence: bool,
    engine: &'a str,
    /// Name of the model and the first digits of its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'a str>,
    words: Vec<SpokenCue<'a>>,
}

#[derive(Serialize)]
struct SpokenCue<'a> {
    text: &'a str,
    start: f64,
    end: f64,
    confidence: f64,
}

/// Beginning of a document.
pub const HEAD: &str = "{\"cues\": [";

/// End of a document.
pub const TAIL: &str = "\n]}\n";

/// The text to insert before the tail; empty for a partial cue or one that ends before the file
/// begins. `first`: there is no element yet.
pub fn element(cue: &Cue, clock: FileClock, first: bool) -> String {
    if !cue.is_committed() || clock.at(cue.end).is_zero() {
        return String::new();
    }
    let seconds = |at: Duration| clock.at(at).as_millis() as f64 / 1000.0;
    let words = cue.words.iter().map(|word| SpokenCue {
        text: &word.text,
        start: seconds(word.start),
        end: seconds(word.end),
        confidence: rounded(word.confidence),
    });
    let line = Line {
        id: cue.id,
        language: cue.language.as_str(),
        start: seconds(cue.start),
        end: seconds(cue.end),
        text: &cue.text,
        confidence: rounded(cue.confidence()),
        ends_sentence: cue.ends_sentence,
        engine: &cue.origin.engine,
        model: cue.origin.model.as_deref(),
        speaker: cue.speaker.as_deref(),
        words: words.collect(),
    };
    let before = if first { "\n" } else { ",\n" };
    // Strings and finite numbers always serialise; line feeds in strings are escaped.
    serde_json::to_string(&line).map(|text| before.to_owned() + &text).unwrap_or_default()
}

/// Three digits: more are not significant. NaN is not valid JSON.
fn rounded(confidence: f32) -> f64 {
    if confidence.is_nan() { 0.0 } else { (f64::from(confidence) * 1000.0).round() / 1000.0 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::captions::testing::{cue, spoken};
    use crate::media::Origin;

    #[test]
    fn an_element_has_everything_and_stays_one_line() {
        let cue = Cue {
            origin: Arc::new(Origin { engine: "whisper".into(), model: Some("tiny@4baf".into()) }),
            speaker: Some("Speaker 1".into()),
            ..spoken(4, "say \"a\"\nb", &[("say", 11.0, 11.25), ("\"a\"\nb", 11.3, 12.0)])
        };
        let clock = FileClock { origin: Duration::from_secs(10) };
        assert_eq!(
            element(&cue, clock, false),
            ",\n{\"id\":4,\"language\":\"en\",\"start\":1.0,\"end\":2.0,\"text\":\"say \\\"a\\\"\\nb\",\
             \"confidence\":0.5,\"ends_sentence\":true,\"engine\":\"whisper\",\
             \"model\":\"tiny@4baf\",\"speaker\":\"Speaker 1\",\"words\":[\
             {\"text\":\"say\",\"start\":1.0,\"end\":1.25,\"confidence\":0.5},\
             {\"text\":\"\\\"a\\\"\\nb\",\"start\":1.3,\"end\":2.0,\"confidence\":0.5}]}"
        );
    }

    #[test]
    fn a_document_is_whole_after_each_element() {
        let mut so_far = HEAD.to_owned();
        for id in 0..4_u32 {
            let text = so_far.clone() + TAIL;
            let read: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
            assert_eq!(read["cues"].as_array().map(Vec::len), Some(id as usize));
            let at = f64::from(id);
            let cue = cue(u64::from(id), at, at + 1.0, "said");
            so_far += &element(&cue, FileClock::default(), id == 0);
        }
    }
}
