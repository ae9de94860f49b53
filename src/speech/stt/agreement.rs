//! Which words of a changing hypothesis are final.
//!
//! LocalAgreement-2 (Liu et al. 2020; Macháček et al. 2023): the common beginning of two successive
//! hypotheses is committed, except words nearer than [`Pace::trim`] to the edge of the audio, where
//! engines guess. Committed words never change and are never repeated: words are distinguished by
//! time and, at the seam, by text.
//!
//! Invariant: pure. Times in, words out.

use std::time::Duration;

use crate::media::Word;

/// Words at the seam that are compared by text.
const SEAM_WORDS: usize = 6;

/// A new hypothesis may shift a committed word by up to this much.
const SEAM_TOLERANCE: Duration = Duration::from_secs(1);

/// How a window of audio is processed; each engine has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// New audio needed before the engine is asked again.
    pub step: Duration,
    /// A longer window than this many steps takes longer steps, so that an engine that hears all of
    /// it again has no more work each second.
    pub steps_per_window: u32,
    /// Words that end nearer than this to the edge of the audio are not committed yet.
    pub trim: Duration,
    /// From this length on, the window is cut after the committed words.
    pub cut_after: Duration,
    /// A window of this length is cut in any case, and its words are committed without agreement.
    pub window_max: Duration,
}

impl Pace {
    /// New audio needed before a window of this length is heard again.
    pub fn step_of(&self, window: Duration) -> Duration {
        self.step.max(window / self.steps_per_window.max(1))
    }
}

/// The result of an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Words that are final from now on.
    pub committed: Vec<Word>,
    /// Words after them, which may change.
    pub partial: Vec<Word>,
    /// Audio before this running time is no longer needed.
    pub cut: Option<Duration>,
}

/// The words of one stream.
#[derive(Clone, Debug)]
pub struct Agreement {
    pace: Pace,
    previous: Vec<Word>,
    /// End of the newest committed word.
    until: Duration,
    /// The last committed words.
    tail: Vec<Word>,
}

impl Agreement {
    /// Nothing is committed yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, previous: Vec::new(), until: Duration::ZERO, tail: Vec::new() }
    }

    /// Another engine continues: earlier hypotheses no longer count; committed words stay.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.previous.clear();
    }

    /// End of the newest committed word, in running time.
    pub fn committed_until(&self) -> Duration {
        self.until
    }

    /// Takes the hypothesis for the window from `from` to `edge`. With `last` the utterance has
    /// ended and all of it is final.
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
            // Committed words stay in order, whatever times the engine reports.
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
            // Cuts even without progress, so that the window does not grow.
            Some(self.until.max(edge.saturating_sub(self.pace.window_max / 4)).min(edge))
        } else {
            let progress = self.until > from && window >= self.pace.cut_after;
            progress.then_some(self.until)
        };
        self.previous = if last { Vec::new() } else { partial.clone() };
        Decision { committed, partial, cut }
    }

    /// Forgets the hypothesis, as the audio is interrupted.
    pub fn interrupt(&mut self) {
        self.previous.clear();
    }

    /// The words that are not committed yet.
    fn unseen(&self, mut words: Vec<Word>) -> Vec<Word> {
        let middle = |w: &Word| w.start + w.end.saturating_sub(w.start) / 2;
        words.retain(|w| middle(w) >= self.until);
        let near = words.first().is_some_and(|w| w.start < self.until + SEAM_TOLERANCE);
        if !near {
            return words;
        }
        let longest = self.tail.len().min(words.len());
        let repeated = (1..=longest).rev().find(|n| {
            let tail = &self.tail[self.tail.len() - n..];
            // A single short word may really be repeated within a second.
            let close = *n > 1 || words[0].start < self.until + SEAM_TOLERANCE / 5;
            close && tail.iter().zip(&words).all(|(a, b)| same(a, b))
        });
        words.drain(..repeated.unwrap_or(0));
        words
    }
}

/// Whether both are the same word, ignoring case and punctuation.
fn same(a: &Word, b: &Word) -> bool {
    let letters = |w: &Word| -> String {
        let text: String = w.text.chars().filter(|c| c.is_alphanumeric()).collect();
        // Pure punctuation is compared as it is.
        if text.is_empty() { w.text.clone() } else { text.to_lowercase() }
    };
    letters(a) == letters(b)
}

#[cfg(test)]
mod tests;
