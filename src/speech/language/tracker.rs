//! Follows the language of a programme in which people may speak several.

use crate::media::Language;

/// A guess below this probability counts only while no language is known.
const GUESS_PROBABILITY_MIN: f32 = 0.6;

/// Another language must be guessed with at least this share of the certainty of the current one.
const RIVAL_RATIO: f32 = 0.8;

/// What remains of the certainty of the current language once an earlier stretch has contradicted
/// it, so that the second in a row is believed.
const CONTRADICTED_RATIO: f32 = 0.8;

/// Which language a stretch of speech or text is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The language.
    pub language: Language,
    /// Its probability, 0-1.
    pub probability: f32,
}

/// The language that is spoken now, with hysteresis: one uncertain guess changes nothing, a certain
/// one or two in a row do. Pure: a stretch, such as an utterance, is named by any number.
#[derive(Clone, Debug, Default)]
pub struct LanguageTracker {
    current: Option<Language>,
    /// Certainty of the current language, 0-1.
    certainty: f32,
    /// The stretch that contradicted it, unless a later one has confirmed it.
    contradicted_in: Option<u64>,
}

impl LanguageTracker {
    /// A tracker that begins with a language that is known, or with none.
    pub fn new(current: Option<Language>) -> Self {
        let certainty = if current.is_some() { 1.0 } else { 0.0 };
        Self { current, certainty, contradicted_in: None }
    }

    /// The language, once there was a guess.
    pub fn current(&self) -> Option<&Language> {
        self.current.as_ref()
    }

    /// Certainty of the current language, 0-1.
    pub fn certainty(&self) -> f32 {
        self.certainty
    }

    /// Takes a guess about a stretch; several about the same one contradict only once. Returns
    /// whether the language has changed.
    pub fn hear(&mut self, stretch: u64, guess: &Guess) -> bool {
        let Guess { language, probability } = guess;
        let Some(current) = &self.current else { return self.change(guess) };
        if current.same_language(language) {
            self.certainty = self.certainty.max(*probability);
            self.contradicted_in = None;
            return false;
        }
        if *probability < GUESS_PROBABILITY_MIN {
            return false;
        }
        let again = self.contradicted_in.is_some_and(|earlier| earlier != stretch);
        let left = if again { CONTRADICTED_RATIO } else { 1.0 };
        if *probability >= self.certainty * left * RIVAL_RATIO {
            return self.change(guess);
        }
        self.contradicted_in.get_or_insert(stretch);
        false
    }

    fn change(&mut self, to: &Guess) -> bool {
        self.current = Some(to.language.clone());
        self.certainty = to.probability;
        self.contradicted_in = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guesses as `stretch:language:percent`; the language after each.
    fn check(begin: Option<&str>, guesses: &str, expect: &str) {
        let mut tracker = LanguageTracker::new(begin.map(|tag| tag.parse().expect("a language")));
        let languages = guesses.split(' ').map(|guess| {
            let parts: Vec<&str> = guess.split(':').collect();
            let percent: f32 = parts[2].parse().expect("a number");
            let language = parts[1].parse().expect("a language");
            let guess = Guess { language, probability: percent / 100.0 };
            let before = tracker.current().cloned();
            let changed = tracker.hear(parts[0].parse().expect("a number"), &guess);
            assert_eq!(changed, before.as_ref() != tracker.current());
            tracker.current().map(Language::to_string).unwrap_or_default()
        });
        assert_eq!(languages.collect::<Vec<_>>().join(" "), expect, "{guesses}");
    }

    #[test]
    fn the_first_guess_counts_and_a_better_one_replaces_it() {
        check(None, "1:en:40 1:de:55 1:de:70", "en en de");
    }

    #[test]
    fn turns_in_three_languages_are_followed() {
        check(None, "1:en:95 2:de:97 3:es:96 4:en:99", "en de es en");
    }

    #[test]
    fn one_uncertain_guess_changes_nothing_and_the_second_in_a_row_does() {
        check(None, "1:en:95 2:de:70 3:de:70", "en en de");
        check(None, "1:en:95 2:de:70 2:de:72 2:de:71", "en en en en");
        check(None, "1:en:95 2:de:70 3:en:95 4:de:70 5:en:95", "en en en en en");
        check(None, "1:en:95 2:de:50 3:de:50 4:de:59 5:de:59", "en en en en en");
    }

    #[test]
    fn a_region_is_no_other_language() {
        check(Some("pt-BR"), "1:pt:99 2:es:75 3:pt:60", "pt-BR pt-BR pt-BR");
        check(Some("en"), "1:de:79 2:de:65", "en de");
    }
}
