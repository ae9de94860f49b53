//! Cues with everything that is known of them: words, times, confidence, language, engine, model.
//!
//! While a recording runs, the file is JSON Lines (one object per line, appended and flushed cue
//! by cue): a crash loses at most the line that was being written, and every line before is valid
//! by itself, which a document with a closing bracket never is while it grows. [`document`] makes
//! one closed JSON document of the lines when the recording has ended; of lines that a crash has
//! cut it leaves the last one out.

use std::time::Duration;

use serde::Serialize;

use super::shape::FileClock;
use crate::media::Cue;

/// A cue in a file. Times are seconds of the file.
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
    words: Vec<Spoken<'a>>,
}

#[derive(Serialize)]
struct Spoken<'a> {
    text: &'a str,
    start: f64,
    end: f64,
    confidence: f64,
}

/// A line to append, with its line feed; nothing for a partial cue or one that ends before the file
/// begins.
pub fn line(cue: &Cue, clock: FileClock) -> String {
    if !cue.is_committed() || clock.at(cue.end).is_zero() {
        return String::new();
    }
    let seconds = |at: Duration| clock.at(at).as_millis() as f64 / 1000.0;
    let words = cue.words.iter().map(|word| Spoken {
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
        words: words.collect(),
    };
    // Strings and finite numbers can always be written; line feeds in strings are escaped.
    serde_json::to_string(&line).map(|text| text + "\n").unwrap_or_default()
}

/// Three digits: more would be noise, and not-a-number would not be JSON.
fn rounded(confidence: f32) -> f64 {
    if confidence.is_nan() { 0.0 } else { (f64::from(confidence) * 1000.0).round() / 1000.0 }
}

/// One JSON document, `{"cues": [...]}`, of lines that [`line`] made.
pub fn document(lines: &str) -> String {
    let whole = |l: &&str| serde_json::from_str::<serde::de::IgnoredAny>(l).is_ok();
    let cues: Vec<&str> = lines.lines().map(str::trim).filter(whole).collect();
    format!("{{\"cues\": [\n{}\n]}}\n", cues.join(",\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::captions::testing::{cue, spoken};
    use crate::media::Origin;

    #[test]
    fn a_line_has_everything_and_stays_one_line() {
        let cue = Cue {
            origin: Arc::new(Origin { engine: "whisper".into(), model: Some("tiny@4baf".into()) }),
            ..spoken(4, "say \"a\"\nb", &[("say", 11.0, 11.25), ("\"a\"\nb", 11.3, 12.0)])
        };
        let clock = FileClock { origin: Duration::from_secs(10) };
        assert_eq!(
            line(&cue, clock),
            "{\"id\":4,\"language\":\"en\",\"start\":1.0,\"end\":2.0,\"text\":\"say \\\"a\\\"\\nb\",\
             \"confidence\":0.5,\"ends_sentence\":true,\"engine\":\"whisper\",\
             \"model\":\"tiny@4baf\",\"words\":[\
             {\"text\":\"say\",\"start\":1.0,\"end\":1.25,\"confidence\":0.5},\
             {\"text\":\"\\\"a\\\"\\nb\",\"start\":1.3,\"end\":2.0,\"confidence\":0.5}]}\n"
        );
    }

    #[test]
    fn a_document_is_whole_even_after_a_crash() {
        let clock = FileClock::default();
        let lines = line(&cue(1, 0.0, 1.0, "one"), clock) + &line(&cue(2, 1.0, 2.0, "two"), clock);
        for cut in 0..=lines.len() {
            let closed: serde_json::Value =
                serde_json::from_str(&document(&lines[..cut])).expect("valid JSON");
            let first = lines.find('\n').expect("two lines");
            let expect = usize::from(cut >= first) + usize::from(cut + 1 >= lines.len());
            assert_eq!(closed["cues"].as_array().map(Vec::len), Some(expect), "cut at {cut}");
        }
    }
}
