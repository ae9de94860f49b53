//! Tells the language of a text by its letters (lingua: n-grams of one to five).

use lingua::{Language as Name, LanguageDetectorBuilder};

use super::tracker::Guess;
use crate::media::Language;

/// The languages that can be told apart, and their names in lingua: those of the cargo features.
pub const KNOWN: [(&str, Name); 13] = [
    ("ca", Name::Catalan),
    ("de", Name::German),
    ("en", Name::English),
    ("es", Name::Spanish),
    ("fr", Name::French),
    ("is", Name::Icelandic),
    ("it", Name::Italian),
    ("ja", Name::Japanese),
    ("ko", Name::Korean),
    ("pt", Name::Portuguese),
    ("ro", Name::Romanian),
    ("ru", Name::Russian),
    ("zh", Name::Chinese),
];

/// Shorter texts of an alphabet say too little: among 17 languages, four words were told right in
/// 93 of 100 cases and whole sentences in 99.6 (NTREX-128, 100 of each language).
const LETTERS_MIN_COUNT: usize = 12;

/// A syllable or ideograph says as much as several letters.
const IDEOGRAPHS_MIN_COUNT: usize = 3;

/// The most probable language of a text among `spoken`, or among all that are known if that is
/// empty. A region is kept as in `spoken`. `None` if the text is too short, or if fewer than two of
/// the languages can be told apart.
///
/// Its probability is the odds against the next: lingua's own shrink with the number of languages.
/// Takes about a millisecond. The models are read in place from the program, so that only the pages
/// that are used take memory, once for all streams: 15 MB for three languages, 37 MB for all.
pub fn identify(text: &str, spoken: &[Language]) -> Option<Guess> {
    if !is_long_enough(text) {
        return None;
    }
    let known = |tag: &str| KNOWN.iter().find(|(known, _)| *known == tag).map(|(_, name)| *name);
    let mut among: Vec<Name> = spoken.iter().filter_map(|l| known(l.primary())).collect();
    if spoken.is_empty() {
        among = KNOWN.iter().map(|(_, name)| *name).collect();
    }
    among.sort();
    among.dedup();
    if among.len() < 2 {
        return None;
    }
    let detector = LanguageDetectorBuilder::from_languages(&among).build();
    let found = detector.compute_language_confidence_values(text);
    let [(name, first), (_, second), ..] = found.as_slice() else { return None };
    // Neither is possible, as in a script of another language.
    if *first <= 0.0 {
        return None;
    }
    let (tag, _) = KNOWN.iter().find(|(_, known)| known == name)?;
    let asked = spoken.iter().find(|l| l.primary() == *tag).cloned();
    let language = asked.or_else(|| tag.parse().ok())?;
    Some(Guess { language, probability: (first / (first + second)) as f32 })
}

fn is_long_enough(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    // Hiragana and everything behind it: kana, ideographs, Hangul.
    let ideographs = text.chars().filter(|c| c.is_alphabetic() && *c >= '\u{3040}').count();
    letters >= LETTERS_MIN_COUNT || ideographs >= IDEOGRAPHS_MIN_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, spoken: &str, expect: &str) {
        let spoken = spoken.split_whitespace().map(|tag| tag.parse().expect("a language"));
        let spoken: Vec<Language> = spoken.collect();
        let found = identify(text, &spoken);
        let sure = found.as_ref().is_none_or(|guess| guess.probability > 0.6);
        let tag = found.as_ref().map_or("", |guess| guess.language.as_str());
        assert!(tag == expect && sure, "{text}: {found:?}");
    }

    #[test]
    fn a_sentence_is_told_among_the_languages_of_a_stream() {
        for spoken in ["en de es", ""] {
            check("The government has decided to wait.", spoken, "en");
            check("Die Regierung hat beschlossen zu warten.", spoken, "de");
            check("El gobierno ha decidido esperar.", spoken, "es");
        }
        check("Le gouvernement a décidé d'attendre.", "", "fr");
        check("O governo decidiu que não vai esperar.", "en pt-BR", "pt-BR");
        check("政府は待つことにした。", "", "ja");
        check("Правительство решило подождать.", "en ru", "ru");
    }

    #[test]
    fn a_text_that_says_too_little_is_not_guessed() {
        check("No, no.", "en es", "");
        check("1984, 2001 …", "", "");
        check("Правительство решило подождать.", "en de", "");
        check("The government has decided to wait.", "en", "");
        check("The government has decided to wait.", "en en-GB tlh", "");
    }

    #[test]
    fn every_known_language_has_a_model() {
        for (tag, name) in KNOWN {
            assert_eq!(name.iso_code_639_1().to_string(), tag);
        }
        assert!(KNOWN.is_sorted_by_key(|(tag, _)| *tag));
    }
}
