//! From words to cues: short phrases that can be read at a glance.

use std::sync::Arc;
use std::time::Duration;

use crate::media::{Cue, Language, Origin, Stage, Word};

/// A phrase with this many characters becomes a cue: one line of captions (CEA-608 has 32,
/// television guidelines 37-42).
const LINE_CHARS: usize = 42;

/// Longest phrase, two lines; only a single word can be longer.
const PHRASE_CHARS_MAX: usize = 84;

/// A gap of this length separates phrases.
const PHRASE_GAP: Duration = Duration::from_millis(700);

/// A pause of this length ends a sentence if the engine does not punctuate.
const SENTENCE_GAP: Duration = Duration::from_millis(300);

/// Collects committed words. Pure.
#[derive(Debug)]
pub struct Phrases {
    language: Language,
    origin: Arc<Origin>,
    /// Whether the engine writes full stops.
    punctuates: bool,
    /// Label of who speaks the pending words.
    speaker: Option<Arc<str>>,
    words: Vec<Word>,
    next: u64,
}

impl Phrases {
    /// The next cue gets the number `next`.
    pub fn new(language: Language, origin: Arc<Origin>, punctuates: bool, next: u64) -> Self {
        Self { language, origin, punctuates, speaker: None, words: Vec::new(), next }
    }

    /// Changes language and engine from the next cue on; returns the pending words as a cue.
    pub fn change(
        &mut self,
        language: Language,
        origin: Arc<Origin>,
        punctuates: bool,
    ) -> Option<Cue> {
        let flushed = self.flush(false);
        (self.language, self.origin, self.punctuates) = (language, origin, punctuates);
        flushed
    }

    /// Changes who speaks from the next word on; returns the pending words as a cue if another has
    /// spoken them.
    pub fn set_speaker(&mut self, speaker: Option<Arc<str>>) -> Option<Cue> {
        let other = self.speaker.is_some() && self.speaker != speaker;
        let flushed = if other { self.flush(!self.punctuates) } else { None };
        self.speaker = speaker;
        flushed
    }

    /// The language of the cues.
    pub fn language(&self) -> &Language {
        &self.language
    }

    /// Takes committed words; returns the cues that they complete.
    pub fn add(&mut self, words: impl IntoIterator<Item = Word>) -> Vec<Cue> {
        let mut cues = Vec::new();
        for word in words {
            let gap = self.words.last().map(|w| word.start.saturating_sub(w.end));
            let length = self.length() + 1 + word.text.chars().count();
            if gap.is_some_and(|g| g >= PHRASE_GAP)
                || (length > PHRASE_CHARS_MAX && !self.words.is_empty())
            {
                let ends = gap.is_some_and(|g| g >= PHRASE_GAP) && !self.punctuates;
                cues.extend(self.flush(ends));
            }
            let stops = ends_sentence(&word.text);
            let breathes = word.text.ends_with([',', ';', ':', '،', '、', '，', '；', '：']);
            self.words.push(word);
            let length = self.length();
            if stops || length >= LINE_CHARS || (breathes && length >= LINE_CHARS / 2) {
                cues.extend(self.flush(false));
            }
        }
        cues
    }

    /// The utterance has ended, followed by `pause`; returns the pending words as a cue.
    pub fn end(&mut self, pause: Duration) -> Option<Cue> {
        self.flush(!self.punctuates && pause >= SENTENCE_GAP)
    }

    /// The pending words followed by words that may change; `None` if there are none.
    pub fn partial(&self, words: &[Word]) -> Option<Cue> {
        let words: Vec<Word> = self.words.iter().chain(words).cloned().collect();
        self.cue(words, Stage::Partial, false)
    }

    /// Committed words that are not in a cue yet.
    pub fn pending(&self) -> &[Word] {
        &self.words
    }

    fn length(&self) -> usize {
        let letters: usize = self.words.iter().map(|w| w.text.chars().count()).sum();
        letters + self.words.len().saturating_sub(1)
    }

    fn flush(&mut self, ends: bool) -> Option<Cue> {
        let words = std::mem::take(&mut self.words);
        let cue = self.cue(words, Stage::Committed, ends)?;
        self.next += 1;
        Some(cue)
    }

    fn cue(&self, words: Vec<Word>, stage: Stage, ends: bool) -> Option<Cue> {
        let (first, last) = (words.first()?, words.last()?);
        let (start, end) = (first.start, last.end.max(first.start));
        let ends_sentence = ends || ends_sentence(&last.text);
        Some(Cue {
            id: self.next,
            language: self.language.clone(),
            stage,
            start,
            end,
            text: join(&self.language, &words),
            words: words.into(),
            ends_sentence,
            origin: Arc::clone(&self.origin),
            speaker: self.speaker.clone(),
        })
    }
}

/// Whether a word ends with a full stop of any script.
fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']']);
    bare.ends_with(['.', '!', '?', '…', '。', '！', '？', '؟', '।', '։'])
}

/// Words as text; some languages put no space between them.
pub fn join(language: &Language, words: &[Word]) -> String {
    let space = if spaced(language) { " " } else { "" };
    words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(space)
}

/// Whether a language puts spaces between words.
pub fn spaced(language: &Language) -> bool {
    !matches!(language.primary(), "ja" | "zh" | "yue" | "th" | "lo" | "my" | "km" | "bo")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases(punctuates: bool) -> Phrases {
        let origin = Origin { engine: "test".into(), model: None };
        Phrases::new(Language::english(), Arc::new(origin), punctuates, 1)
    }

    /// Words of 0.3 s, 0.4 s apart; `_` is a pause of one second.
    fn words(text: &str) -> Vec<Word> {
        let mut at = Duration::ZERO;
        let mut words = Vec::new();
        for text in text.split_whitespace() {
            if text == "_" {
                at += Duration::from_secs(1);
                continue;
            }
            let end = at + Duration::from_millis(300);
            words.push(Word { text: text.into(), start: at, end, confidence: 1.0 });
            at += Duration::from_millis(400);
        }
        words
    }

    fn check(punctuates: bool, text: &str, expect: &[(&str, bool)]) {
        let mut phrases = phrases(punctuates);
        let mut cues = phrases.add(words(text));
        cues.extend(phrases.end(Duration::from_millis(300)));
        let found: Vec<_> = cues.iter().map(|c| (c.text.as_str(), c.ends_sentence)).collect();
        assert_eq!(found, expect);
        let numbers: Vec<u64> = cues.iter().map(|c| c.id).collect();
        assert_eq!(numbers, (1..=cues.len() as u64).collect::<Vec<_>>());
        assert!(cues.iter().all(|c| c.is_committed() && c.start < c.end));
    }

    #[test]
    fn a_sentence_is_a_cue() {
        check(true, "Ask not. What then?", &[("Ask not.", true), ("What then?", true)]);
        check(true, "\"He said so.\" Did he", &[("\"He said so.\"", true), ("Did he", false)]);
    }

    #[test]
    fn a_line_is_full_at_42_characters() {
        check(
            true,
            "and so my fellow Americans ask not what your country can do for you",
            &[
                ("and so my fellow Americans ask not what your", false),
                ("country can do for you", false),
            ],
        );
    }

    #[test]
    fn a_comma_ends_a_phrase_that_is_long_enough() {
        check(
            true,
            "well, and so my fellow Americans, ask not",
            &[("well, and so my fellow Americans,", false), ("ask not", false)],
        );
    }

    #[test]
    fn a_pause_ends_a_phrase_and_a_sentence_without_full_stops() {
        check(false, "so it is _ he said", &[("so it is", true), ("he said", true)]);
        check(true, "so it is _ he said", &[("so it is", false), ("he said", false)]);
    }

    #[test]
    fn another_speaker_begins_a_cue() {
        let mut phrases = phrases(false);
        let mut cues = Vec::new();
        for (speaker, text) in [(None, "so"), (Some("A"), "it is"), (Some("B"), "he said")] {
            cues.extend(phrases.set_speaker(speaker.map(Arc::from)));
            cues.extend(phrases.add(words(text)));
        }
        cues.extend(phrases.end(Duration::ZERO));
        let found: Vec<_> = cues.iter().map(|c| (c.speaker.as_deref(), c.text.as_str())).collect();
        assert_eq!(found, [(Some("A"), "so it is"), (Some("B"), "he said")]);
        assert!(cues[0].ends_sentence, "nobody ends a sentence that another began");
    }

    #[test]
    fn a_word_that_is_too_long_is_alone() {
        let long = "x".repeat(90);
        check(true, &format!("a {long} b"), &[("a", false), (&long, false), ("b", false)]);
    }

    #[test]
    fn a_partial_cue_has_the_number_of_the_next_one() {
        let mut phrases = phrases(true);
        assert_eq!(phrases.partial(&[]), None);
        assert_eq!(phrases.add(words("ask")), []);
        let partial = phrases.partial(&words("not what")).expect("words");
        assert_eq!((partial.id, partial.text.as_str()), (1, "ask not what"));
        assert!(!partial.is_committed());
        assert_eq!(phrases.end(Duration::ZERO).map(|c| c.id), Some(1));
    }

    #[test]
    fn japanese_has_no_spaces() {
        let japanese = "ja".parse().expect("a language");
        assert_eq!(join(&japanese, &words("猫 です。")), "猫です。");
    }
}
