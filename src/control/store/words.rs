//! Words of a text: as an index without rules of its own has them, and where a query matches.
//!
//! A word is made of letters and digits. Case and accents do not count. Letters of scripts without
//! spaces between words are words of their own.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use super::query::{Query, Term, is_unspaced};

/// Longest word, in characters; the rest of a longer one does not count. PostgreSQL takes 2046
/// bytes.
const WORD_MAX_CHARS: usize = 256;

/// A word and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Its letters and digits without case and accents.
    pub(super) plain: String,
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
}

/// The words of a text, in order.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut begun = None;
    let end = |begun: &mut Option<usize>, at: usize, found: &mut Vec<Word>| {
        if let Some(from) = begun.take() {
            let plain = plain(&text[from..at]);
            if !plain.is_empty() {
                found.push(Word { plain, range: from..at });
            }
        }
    };
    for (at, c) in text.char_indices() {
        if is_unspaced(c) {
            end(&mut begun, at, &mut found);
            found.push(Word { plain: c.to_string(), range: at..at + c.len_utf8() });
        } else if c.is_alphanumeric() || (begun.is_some() && is_accent(c)) {
            begun.get_or_insert(at);
        } else {
            end(&mut begun, at, &mut found);
        }
    }
    end(&mut begun, text.len(), &mut found);
    found
}

/// Accents that decomposed letters have: Combining Diacritical Marks. Marks of other scripts are
/// vowels.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

fn plain(word: &str) -> String {
    let lower = word.chars().take(WORD_MAX_CHARS).flat_map(char::to_lowercase);
    // Composed again, so that a syllable of Hangul is one letter.
    lower.nfd().filter(|c| !is_accent(*c)).nfc().collect()
}

/// Where a query matches in a text that it finds: byte ranges in order, none within another.
pub(super) fn marks(query: &Query, text: &str) -> Vec<Range<usize>> {
    let there = words(text);
    let mut marks = Vec::new();
    for term in &query.terms {
        match term {
            Term::Words { text: typed, begins } => {
                let typed = words(typed);
                let lengths = there.windows(typed.len().max(1));
                let matching = lengths.filter(|there| matches(&typed, *begins, there));
                marks.extend(
                    matching.filter_map(|there| {
                        Some(there.first()?.range.start..there.last()?.range.end)
                    }),
                );
            }
            Term::Literal(typed) => {
                marks.extend(text.match_indices(typed).map(|(at, found)| at..at + found.len()));
            }
        }
    }
    marks.sort_by_key(|mark| (mark.start, mark.end));
    marks.dedup_by(|next, mark| {
        let overlap = next.start < mark.end;
        if overlap {
            mark.end = mark.end.max(next.end);
        }
        overlap
    });
    marks
}

/// Whether these words are what was typed; the last one may go on if it `begins` one.
fn matches(typed: &[Word], begins: bool, there: &[Word]) -> bool {
    let Some((last, before)) = typed.split_last() else { return false };
    let Some((last_there, before_there)) = there.split_last() else { return false };
    before.iter().map(|w| &w.plain).eq(before_there.iter().map(|w| &w.plain))
        && match begins {
            true => last_there.plain.starts_with(&last.plain),
            false => last_there.plain == last.plain,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_neither_case_nor_accents() {
        let check = |text: &str, expect: &[&str]| {
            let found = words(text);
            let plain: Vec<&str> = found.iter().map(|word| word.plain.as_str()).collect();
            assert_eq!(plain, expect, "{text}");
        };
        check("Ask not: what's 100%?", &["ask", "not", "what", "s", "100"]);
        check("Déjà vu, Cafe\u{301}", &["deja", "vu", "cafe"]);
        check("ÅNGSTRÖM İ ß", &["angstrom", "i", "ß"]);
        check("한국 Ελλάδα йод", &["한국", "ελλαδα", "иод"]);
        check("東京news", &["東", "京", "news"]);
        check("' \\ \u{301}", &[]);
        check(&"x".repeat(5000), &[&"x".repeat(WORD_MAX_CHARS)]);
    }

    #[test]
    fn marks_are_in_order_and_do_not_overlap() {
        let check = |query: &str, text: &str, expect: &[&str]| {
            let marks = marks(&Query::parse(query).expect(query), text);
            let marked: Vec<&str> = marks.iter().map(|mark| &text[mark.clone()]).collect();
            assert_eq!(marked, expect, "{query} in {text}");
        };
        check("ask", "Ask, and ask: asked", &["Ask", "ask"]);
        check("ask*", "asked", &["asked"]);
        check(
            "\"your country\" country",
            "for your country: country",
            &["your country", "country"],
        );
        check("\"a b\" \"b c\"", "a b c", &["a b c"]);
        check("café 東京", "Cafe\u{301} 東京", &["Cafe\u{301}", "東京"]);
        check("none", "of these", &[]);
    }
}
