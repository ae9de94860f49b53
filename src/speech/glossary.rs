//! Names, terms and words of a stream: kept, replaced or masked.
//!
//! Words match in any case and only as whole words, in any script: `class` does not match `ass`.
//! Han, kana, Thai, Lao, Khmer and Burmese write no spaces, so their words match anywhere.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::media::Language;

/// Most entries per list.
pub const ENTRIES_MAX: usize = 500;

/// Longest entry, in characters.
pub const ENTRY_CHARS_MAX: usize = 100;

/// A glossary, as an admin writes it for a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Glossary {
    /// Names and terms, spelled as they shall be written. Speech-to-text is told to expect them,
    /// translation leaves them as they are. At most 500 of 1-100 characters.
    #[schema(example = json!(["AuraLink", "Kofi Annan"]))]
    pub terms: Vec<String>,
    /// What is written otherwise. At most 500.
    pub replacements: Vec<Replacement>,
    /// Words that become asterisks, in every language. At most 500 of 1-100 characters.
    pub masked: Vec<String>,
}

/// One thing that is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// What an engine writes, or what is said; 1-100 characters.
    #[schema(example = "aura link")]
    pub from: String,
    /// What is written instead, at most 100 characters; empty leaves it out.
    #[schema(example = "AuraLink")]
    pub to: String,
    /// Only in captions of this language, whether they are original or translated; in all when
    /// left out. A replacement for the target of a translation also translates: `Board of Trade`
    /// to `Cámara de Comercio` for `es`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "en")]
    pub language: Option<Language>,
}

/// Why a glossary is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{field}`: {message}")]
pub struct GlossaryError {
    /// Path of the field: `replacements[3].from`.
    pub field: String,
    /// What is wrong with the field.
    pub message: String,
}

impl Replacement {
    /// Whether it applies to captions of a language.
    fn is_for(&self, language: &Language) -> bool {
        self.language.as_ref().is_none_or(|own| {
            own == language || (own.as_str() == own.primary() && own.same_language(language))
        })
    }
}

impl Glossary {
    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.replacements.is_empty() && self.masked.is_empty()
    }

    /// Checks the sizes and that no entry is blank or has line breaks.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), GlossaryError> {
        let wrong = |field: String, message: &str| {
            Err(GlossaryError { field, message: message.to_owned() })
        };
        let sizes = [
            ("terms", self.terms.len()),
            ("replacements", self.replacements.len()),
            ("masked", self.masked.len()),
        ];
        if let Some((field, _)) = sizes.iter().find(|(_, size)| *size > ENTRIES_MAX) {
            return wrong((*field).to_owned(), "at most 500 entries");
        }
        let named = |list: &str, texts: &[String]| -> Vec<(String, String)> {
            texts.iter().enumerate().map(|(n, t)| (format!("{list}[{n}]"), t.clone())).collect()
        };
        let mut entries = named("terms", &self.terms);
        entries.extend(named("masked", &self.masked));
        for (n, replacement) in self.replacements.iter().enumerate() {
            entries.push((format!("replacements[{n}].from"), replacement.from.clone()));
            if !replacement.to.is_empty() {
                entries.push((format!("replacements[{n}].to"), replacement.to.clone()));
            }
        }
        for (field, text) in entries {
            if text.trim().is_empty() || text.chars().count() > ENTRY_CHARS_MAX {
                return wrong(field, "1-100 characters");
            }
            if text.chars().any(char::is_control) {
                return wrong(field, "no line breaks and no control characters");
            }
        }
        Ok(())
    }

    /// Applies the glossary to a text of this language: replacements (the longest first if several
    /// begin at the same place), terms in their own spelling, masked words as asterisks.
    pub fn apply(&self, text: &str, language: &Language) -> String {
        let replacements = self.replacements.iter().filter(|r| r.is_for(language));
        let mut rules: Vec<(&str, &str)> =
            replacements.map(|r| (r.from.as_str(), r.to.as_str())).collect();
        rules.extend(self.terms.iter().map(|t| (t.as_str(), t.as_str())));
        let replaced = rewrite(text, &rules, |_, to| to.to_owned());
        let masks: Vec<(&str, &str)> = self.masked.iter().map(|m| (m.as_str(), "")).collect();
        let masked = rewrite(&replaced, &masks, |found, _| asterisks(found));
        // A word that was left out leaves two spaces together.
        if masked == text { masked } else { one_space(&masked) }
    }

    /// What must survive a translation into `target`: ranges of the original, each with its text in
    /// the translation. Sorted, not overlapping.
    pub(crate) fn fixed(&self, text: &str, target: &Language) -> Vec<(Range<usize>, String)> {
        let specific = |r: &&Replacement| r.language.is_some() && r.is_for(target);
        let mut rules: Vec<(&str, &str)> = self
            .replacements
            .iter()
            .filter(specific)
            .map(|r| (r.from.as_str(), r.to.as_str()))
            .collect();
        rules.extend(self.terms.iter().map(|t| (t.as_str(), t.as_str())));
        find(text, &rules).into_iter().map(|(at, rule)| (at, rules[rule].1.to_owned())).collect()
    }
}

/// Replaces each letter by an asterisk; what is between words stays.
fn asterisks(found: &str) -> String {
    found.chars().map(|c| if is_word(c) { '*' } else { c }).collect()
}

fn one_space(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.replace(" ,", ",").replace(",,", ",").replace(" .", ".")
}

fn rewrite(text: &str, rules: &[(&str, &str)], with: impl Fn(&str, &str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, rule) in find(text, rules) {
        out.push_str(&text[from..at.start]);
        out.push_str(&with(&text[at.clone()], rules[rule].1));
        from = at.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Where rules match, from left to right: the longest at each place, the first of equal ones.
fn find(text: &str, rules: &[(&str, &str)]) -> Vec<(Range<usize>, usize)> {
    if rules.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut before = None;
    let rest = text.char_indices();
    let mut free_from = 0;
    for (at, c) in rest {
        let starts_word = before.is_none_or(|b| !joins(b, c));
        before = Some(c);
        if at < free_from || !starts_word {
            continue;
        }
        let mut longest: Option<(usize, usize)> = None;
        for (n, (from, _)) in rules.iter().enumerate() {
            if let Some(length) = match_length(&text[at..], from)
                && longest.is_none_or(|(best, _)| length > best)
            {
                longest = Some((length, n));
            }
        }
        if let Some((length, rule)) = longest {
            found.push((at..at + length, rule));
            free_from = at + length;
        }
    }
    found
}

/// Length in bytes of `word` at the beginning of `text`, in any case; `None` if it is not there as
/// whole words.
fn match_length(text: &str, word: &str) -> Option<usize> {
    let mut wanted = word.trim().chars().flat_map(char::to_lowercase);
    let mut next = wanted.next()?;
    let mut characters = text.char_indices().peekable();
    'text: loop {
        let (_, c) = characters.next()?;
        let mut folded = c.to_lowercase();
        while let Some(f) = folded.next() {
            // All kinds of white space match each other.
            if f != next && !(f.is_whitespace() && next.is_whitespace()) {
                return None;
            }
            match wanted.next() {
                Some(more) => next = more,
                None if folded.next().is_none() => {
                    let after = characters.peek();
                    let ends = after.is_none_or(|(_, after)| !joins(c, *after));
                    return ends.then(|| after.map_or(text.len(), |(at, _)| *at));
                }
                None => break 'text None,
            }
        }
    }
}

/// Whether two neighbours belong to one word.
fn joins(left: char, right: char) -> bool {
    is_word(left) && is_word(right) && !(is_unspaced(left) || is_unspaced(right))
}

/// Letters, digits and combining marks (an accent of its own, a vowel sign).
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c) || c == '_'
}

/// Combining marks that Rust does not count as alphabetic: diacritics, and viramas of Indic
/// scripts.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{94d}' | '\u{9cd}' | '\u{bcd}' | '\u{c4d}' | '\u{200d}')
}

/// Scripts that write no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3040}'..='\u{30ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests;
