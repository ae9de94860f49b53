//! Cues for the tests of this room.

use std::sync::Arc;
use std::time::Duration;

use crate::media::{Cue, Language, Origin, Stage, Word};

/// A committed English cue without words; times in seconds.
pub(super) fn cue(id: u64, start: f64, end: f64, text: &str) -> Cue {
    Cue {
        id,
        language: Language::english(),
        stage: Stage::Committed,
        start: Duration::from_secs_f64(start),
        end: Duration::from_secs_f64(end),
        text: text.into(),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

/// A committed English cue from its words and their times in seconds.
pub(super) fn spoken(id: u64, text: &str, words: &[(&str, f64, f64)]) -> Cue {
    let (start, end) = (words.first().map_or(0.0, |w| w.1), words.last().map_or(0.0, |w| w.2));
    let words = words.iter().map(|(text, start, end)| Word {
        text: (*text).to_owned(),
        start: Duration::from_secs_f64(*start),
        end: Duration::from_secs_f64(*end),
        confidence: 0.5,
    });
    Cue { words: words.collect(), ..cue(id, start, end, text) }
}

/// Parses a language that is known to be valid.
pub(super) fn language(tag: &str) -> Language {
    tag.parse().expect("a language")
}
