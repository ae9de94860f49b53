//! Words that wait to be sent in a caption service.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::tokens::{NEW_SPEAKER, Token, tokens};
use crate::media::Cue;

/// Most waiting words; beyond it the oldest are dropped. This is minutes of speech, reached only by
/// text known long in advance.
const WAITING_WORDS_MAX: usize = 512;

/// A word that has waited this long since it was due is dropped: late captions mislead.
const WAIT_MAX: Duration = Duration::from_secs(4);

struct Waiting {
    token: Token,
    /// Number of the cue: words of one cue share it.
    phrase: u64,
    /// When it became due; `None` until the first frame.
    since: Option<Duration>,
}

/// A bounded queue of the words of one service.
#[derive(Default)]
pub(super) struct Words {
    waiting: VecDeque<Waiting>,
    phrases: u64,
    /// The speaker of the last cue.
    speaker: Option<Arc<str>>,
    now: Option<Duration>,
    late: u64,
}

impl Words {
    /// Adds the words of a committed cue; other cues have none yet.
    pub(super) fn push(&mut self, cue: &Cue) {
        if !cue.is_committed() {
            return;
        }
        self.phrases += 1;
        let mut tokens = tokens(cue);
        let begins = cue.speaker.is_some() && cue.speaker != self.speaker;
        self.speaker.clone_from(&cue.speaker);
        if let Some(first) = tokens.first().filter(|_| begins) {
            let mark = Token { text: NEW_SPEAKER.into(), end: first.start, ..first.clone() };
            tokens.insert(0, mark);
        }
        for token in tokens {
            if self.waiting.len() == WAITING_WORDS_MAX {
                self.waiting.pop_front();
                self.late += 1;
            }
            let since = self.now.map(|now| now.max(token.start));
            self.waiting.push_back(Waiting { token, phrase: self.phrases, since });
        }
    }

    /// The next word whose speech has begun at this time, with the number of its phrase.
    pub(super) fn next(&mut self, at: Duration) -> Option<(Token, u64)> {
        self.forget_late(at);
        self.waiting
            .pop_front_if(|first| first.token.start <= at)
            .map(|first| (first.token, first.phrase))
    }

    /// A whole phrase whose first word's speech has begun at this time.
    pub(super) fn next_phrase(&mut self, at: Duration) -> Vec<Token> {
        let Some((first, phrase)) = self.next(at) else { return Vec::new() };
        let mut words = vec![first];
        while let Some(next) = self.waiting.pop_front_if(|next| next.phrase == phrase) {
            words.push(next.token);
        }
        words
    }

    /// Whether a word is due.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        self.waiting.front().is_some_and(|first| first.token.start <= at)
    }

    /// Drops every due word; returns their number.
    pub(super) fn drop_due(&mut self, at: Duration) -> u64 {
        let mut count = 0;
        while self.next(at).is_some() {
            count += 1;
        }
        count
    }

    /// Words that were dropped because they waited too long.
    pub(super) fn late(&self) -> u64 {
        self.late
    }

    fn forget_late(&mut self, at: Duration) {
        if self.now.is_none() {
            for one in &mut self.waiting {
                one.since = Some(at.max(one.token.start));
            }
        }
        self.now = Some(at);
        let is_late = |one: &mut Waiting| one.since.is_some_and(|since| since + WAIT_MAX < at);
        while self.waiting.pop_front_if(is_late).is_some() {
            self.late += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::testing::{cue, spoken};

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn words_wait_until_they_are_said_and_not_for_ever() {
        let mut words = Words::default();
        words.push(&spoken(1, "a b c", &[("a", 1.0, 1.1), ("b", 2.0, 2.1), ("c", 9.0, 9.1)]));
        let mut next = |s| words.next(at(s)).map(|(t, _)| t.text);
        assert_eq!(next(0.5), None);
        assert_eq!(next(1.0).as_deref(), Some("a"));
        assert_eq!(next(1.5), None);
        assert_eq!(next(9.0).as_deref(), Some("c"), "b has waited for seven seconds");
        assert_eq!(words.late(), 1);
    }

    #[test]
    fn what_the_engine_commits_late_is_not_late_here() {
        let mut words = Words::default();
        words.push(&cue(1, 1.0, 2.0, "before the first frame"));
        assert!(words.next(at(100.0)).is_some());
        words.push(&cue(2, 3.0, 4.0, "a slow engine"));
        assert_eq!(words.next_phrase(at(100.1)).len(), 3, "the rest of the first phrase");
        assert_eq!(words.next_phrase(at(103.0)).len(), 3, "the second");
        assert_eq!(words.late(), 0);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut words = Words::default();
        words.push(&cue(1, 5.0, 6.0, &"word ".repeat(WAITING_WORDS_MAX + 7)));
        assert_eq!((words.waiting.len(), words.late()), (WAITING_WORDS_MAX, 7));
    }
}
