//! Which words of a changing hypothesis are final.
//!
//! LocalAgreement-2 (Liu et al. 2020; Macháček et al. 2023): what two hypotheses in a row agree on
//! from their beginning is committed, but never what lies nearer than [`Agreement::trim`] to the
//! edge of the sound, where engines guess. What is committed never changes and is never repeated:
//! words are told apart by their time and, at the seam, by their text.
//!
//! Invariant: pure. Times in, words out.

use std::time::Duration;

use crate::media::Word;

/// Words at the seam that are compared by text.
const SEAM_WORDS: usize = 6;

/// A hypothesis may place a committed word anew within this much of where it was.
const SEAM: Duration = Duration::from_secs(1);

/// How a window of sound is treated; each engine has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So much new sound before the engine is asked again.
    pub step: Duration,
    /// Words that end nearer to the edge of the sound are not committed yet.
    pub trim: Duration,
    /// From this length on the window is cut where words are committed.
    pub cut_after: Duration,
    /// A window of this length is cut in any case; its words are taken as they are.
    pub window_max: Duration,
}

/// What an update decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Words that are final from now on.
    pub committed: Vec<Word>,
    /// Words after them that may change.
    pub partial: Vec<Word>,
    /// Sound before this running time is not needed any more.
    pub cut: Option<Duration>,
}

/// The words of one stream.
#[derive(Clone, Debug)]
pub struct Agreement {
    pace: Pace,
    previous: Vec<Word>,
    /// End of the newest committed word.
    until: Duration,
    /// Its last words.
    tail: Vec<Word>,
}

impl Agreement {
    /// Nothing is committed yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, previous: Vec::new(), until: Duration::ZERO, tail: Vec::new() }
    }

    /// Another engine goes on: its hypotheses agree with nothing yet, and what is committed stays.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.previous.clear();
    }

    /// End of the newest committed word, running time.
    pub fn committed_until(&self) -> Duration {
        self.until
    }

    /// Takes the hypothesis for the window that begins at `from` and ends at `edge`. With `last`
    /// the utterance is over and all of it is final.
    pub fn update(
        &mut self,
        words: Vec<Word>,
        from: Duration,
        edge: Duration,
        last: bool,
    ) -> Decision {
        let mut words = self.unseen(words);
        let window = edge.saturating_sub(from);
        let forced = !last && window >= self.pace.window_max;
        let ripe = |w: &Word| w.end + self.pace.trim <= edge;
        let count = if last {
            words.len()
        } else if forced {
            words.iter().take_while(|w| ripe(w)).count()
        } else {
            let agreed = words.iter().zip(&self.previous).take_while(|(a, b)| same(a, b));
            agreed.take_while(|(a, _)| ripe(a)).count()
        };
        let partial = words.split_off(count);
        let mut committed = words;
        for word in &mut committed {
            // What is committed lies in order, whatever the engine says of its times.
            word.start = word.start.max(self.until);
            word.end = word.end.max(word.start);
            self.until = word.end;
        }
        self.tail.extend(committed.iter().cloned());
        let surplus = self.tail.len().saturating_sub(SEAM_WORDS);
        self.tail.drain(..surplus);
        let cut = if last {
            Some(edge)
        } else if forced {
            // Whatever happens, the window does not grow.
            Some(self.until.max(edge.saturating_sub(self.pace.window_max / 4)).min(edge))
        } else {
            let progress = self.until > from && window >= self.pace.cut_after;
            progress.then_some(self.until)
        };
        self.previous = if last { Vec::new() } else { partial.clone() };
        Decision { committed, partial, cut }
    }

    /// Forgets the hypothesis: the sound is interrupted.
    pub fn interrupt(&mut self) {
        self.previous.clear();
    }

    /// The words that are not committed already.
    fn unseen(&self, mut words: Vec<Word>) -> Vec<Word> {
        let middle = |w: &Word| w.start + w.end.saturating_sub(w.start) / 2;
        words.retain(|w| middle(w) >= self.until);
        let near = words.first().is_some_and(|w| w.start < self.until + SEAM);
        if !near {
            return words;
        }
        let longest = self.tail.len().min(words.len());
        let repeated = (1..=longest).rev().find(|n| {
            let tail = &self.tail[self.tail.len() - n..];
            // One short word alone may well be said twice, a second apart.
            let close = *n > 1 || words[0].start < self.until + SEAM / 5;
            close && tail.iter().zip(&words).all(|(a, b)| same(a, b))
        });
        words.drain(..repeated.unwrap_or(0));
        words
    }
}

/// Whether both are the same word, whatever their case and punctuation.
fn same(a: &Word, b: &Word) -> bool {
    let letters = |w: &Word| -> String {
        let text: String = w.text.chars().filter(|c| c.is_alphanumeric()).collect();
        // Punctuation alone is compared as it is.
        if text.is_empty() { w.text.clone() } else { text.to_lowercase() }
    };
    letters(a) == letters(b)
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
