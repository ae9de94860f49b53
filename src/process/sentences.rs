//! Joins cues to sentences: translation and speech need whole sentences, not pieces.

use std::sync::Arc;
use std::time::Duration;

use crate::media::Cue;

/// An unfinished sentence ends after this much silence of its source.
pub(super) const SENTENCE_PAUSE: Duration = Duration::from_millis(1200);

/// A sentence is cut at this length, in characters.
const SENTENCE_CHARS_MAX: usize = 240;

/// A sentence is cut at this duration.
const SENTENCE_TIME_MAX: Duration = Duration::from_secs(12);

/// Collects committed cues of one feed until they form a sentence. Pure: time is an argument.
#[derive(Default)]
pub(super) struct Sentences {
    pending: Option<Cue>,
    /// Arrival of the newest piece, on the caller's clock.
    since: Duration,
}

impl Sentences {
    /// Adds a committed cue that arrived at `now`; returns the completed sentences. A cue in
    /// another language or by another speaker ends the pending sentence.
    pub(super) fn push(&mut self, cue: Cue, now: Duration) -> Vec<Cue> {
        let mut done = Vec::new();
        let same = |p: &Cue| p.language == cue.language && p.speaker == cue.speaker;
        let follows = |p: &Cue| same(p) && cue.start <= p.end + SENTENCE_PAUSE;
        if self.pending.as_ref().is_some_and(|p| !follows(p)) {
            done.extend(self.pending.take());
        }
        self.since = now;
        let whole = match self.pending.take() {
            None => cue,
            Some(begun) => join(begun, &cue),
        };
        let long = whole.text.chars().count() >= SENTENCE_CHARS_MAX;
        if whole.ends_sentence || long || whole.end.saturating_sub(whole.start) >= SENTENCE_TIME_MAX
        {
            done.push(whole);
        } else {
            self.pending = Some(whole);
        }
        done
    }

    /// How long to wait for the next piece; `None` when nothing is pending.
    pub(super) fn patience(&self, now: Duration) -> Option<Duration> {
        self.pending.as_ref().map(|_| (self.since + SENTENCE_PAUSE).saturating_sub(now))
    }

    /// Ends the pending sentence; for when no further piece has come in time.
    pub(super) fn flush(&mut self) -> Option<Cue> {
        self.pending.take()
    }
}

/// Joins two cues under the number of the first.
fn join(first: Cue, second: &Cue) -> Cue {
    let words: Vec<_> = first.words.iter().chain(second.words.iter()).cloned().collect();
    Cue {
        end: second.end,
        text: format!("{} {}", first.text, second.text),
        words: Arc::from(words),
        ends_sentence: second.ends_sentence,
        origin: Arc::clone(&second.origin),
        ..first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Language, Origin, Stage};

    fn cue(id: u64, at_ms: u64, text: &str) -> Cue {
        Cue {
            id,
            language: Language::english(),
            stage: Stage::Committed,
            start: Duration::from_millis(at_ms),
            end: Duration::from_millis(at_ms + 900),
            text: text.into(),
            words: Arc::default(),
            ends_sentence: text.ends_with('.'),
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
            speaker: None,
        }
    }

    fn check(cues: Vec<Cue>, expect: &[&str]) {
        let mut sentences = Sentences::default();
        let mut texts: Vec<String> = Vec::new();
        for cue in cues {
            let now = cue.end;
            texts.extend(sentences.push(cue, now).into_iter().map(|c| c.text));
        }
        texts.extend(sentences.flush().map(|c| format!("({})", c.text)));
        assert_eq!(texts, expect);
    }

    #[test]
    fn pieces_become_sentences() {
        let pieces = vec![cue(1, 0, "and so"), cue(2, 1000, "my fellow."), cue(3, 2000, "ask not")];
        check(pieces, &["and so my fellow.", "(ask not)"]);
        check(vec![cue(1, 0, "one"), cue(2, 5000, "two.")], &["one", "two."]);
        let mut french = cue(2, 1000, "deux.");
        french.language = "fr".parse().expect("a language");
        check(vec![cue(1, 0, "one"), french], &["one", "deux."]);
        let other = Cue { speaker: Some("Speaker 2".into()), ..cue(2, 1000, "two.") };
        check(vec![cue(1, 0, "one"), other], &["one", "two."]);
    }

    #[test]
    fn a_speaker_who_never_ends_is_cut() {
        let long = "words and more words ".repeat(13);
        check(vec![cue(1, 0, long.trim())], &[long.trim()]);
        let minute: Vec<Cue> = (0..14).map(|n| cue(n, n * 1000, "on")).collect();
        let mut sentences = Sentences::default();
        let done: usize = minute.into_iter().map(|c| sentences.push(c.clone(), c.end).len()).sum();
        assert_eq!(done, 1);
        assert!(sentences.patience(Duration::from_secs(14)).is_some());
    }

    #[test]
    fn a_sentence_has_the_number_of_its_first_piece_and_the_time_of_both() {
        let mut sentences = Sentences::default();
        assert!(sentences.push(cue(7, 0, "a"), Duration::ZERO).is_empty());
        let whole = sentences.push(cue(8, 1000, "b."), Duration::ZERO).pop().expect("complete");
        assert_eq!((whole.id, whole.start), (7, Duration::ZERO));
        assert_eq!(whole.end, Duration::from_millis(1900));
    }
}
