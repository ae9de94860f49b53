//! PostgreSQL's full-text search: the words of a cue and the query for them, as texts of the types
//! `tsvector` and `tsquery`.
//!
//! The words are made here and not by a text search configuration of the server, so that they do not
//! depend on its locale, version and extensions. Cues and queries use the same words, letter by letter
//! for scripts without spaces.

use std::fmt::Write;

use crate::control::store::query::{Query, Term, is_unspaced};
use crate::control::store::words::words;

/// Highest position that a `tsvector` has (MAXENTRYPOS); words behind it share it.
const POSITION_MAX_INDEX: usize = 16_383;

/// The words of a text with their positions, as a `tsvector`.
pub(super) fn vector(text: &str) -> String {
    let mut vector = String::new();
    for (position, word) in words(text).iter().enumerate() {
        quote(&mut vector, &word.plain);
        let position = (position + 1).min(POSITION_MAX_INDEX);
        // Writing to a `String` cannot fail.
        let _ = write!(vector, ":{position} ");
    }
    vector
}

/// The `tsquery` for a query. `None` if no word of it is in the index.
pub(super) fn expression(query: &Query) -> Option<String> {
    let mut expression = String::new();
    for term in &query.terms {
        match term {
            Term::Words { text, begins } => {
                let words: Vec<String> = words(text).into_iter().map(|word| word.plain).collect();
                push_phrase(&mut expression, &words, *begins);
            }
            // Each run of such letters is in a text that has the literal; the text itself is
            // compared afterwards.
            Term::Literal(text) => {
                for run in text.split(|c| !is_unspaced(c)) {
                    let letters: Vec<String> = run.chars().map(String::from).collect();
                    push_phrase(&mut expression, &letters, false);
                }
            }
        }
    }
    (!expression.is_empty()).then_some(expression)
}

/// Adds words that follow each other to what has to be there.
fn push_phrase(expression: &mut String, words: &[String], begins: bool) {
    for (at, word) in words.iter().enumerate() {
        let joint = match at {
            0 if expression.is_empty() => "",
            0 => " & ",
            _ => " <-> ",
        };
        expression.push_str(joint);
        quote(expression, word);
    }
    if begins && !words.is_empty() {
        expression.push_str(":*");
    }
}

/// Adds a word in quotation marks. It has letters and digits; what would end it is left out.
fn quote(into: &mut String, word: &str) {
    into.push('\'');
    into.extend(word.chars().filter(|c| !matches!(c, '\'' | '\\')));
    into.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_words_with_positions() {
        assert_eq!(vector("Ask not, señor: 東京!"), "'ask':1 'not':2 'senor':3 '東':4 '京':5 ");
        assert_eq!(vector("' \\"), "");
    }

    #[test]
    fn words_phrases_beginnings_and_letters() {
        let check = |text: &str, expect: &str| {
            let query = Query::parse(text).expect(text);
            assert_eq!(expression(&query).as_deref(), Some(expect), "{text}");
        };
        check("Country", "'country'");
        check("ask not", "'ask' & 'not'");
        check("\"ask not what\" you", "'ask' <-> 'not' <-> 'what' & 'you'");
        check("o'brien*", "'o' <-> 'brien':*");
        check("a & !b | c:def*", "'a' & 'b' & 'c' <-> 'def':*");
        check("東京 news", "'東' <-> '京' & 'news'");
        check("\"東京 2020年\"", "'東' <-> '京' & '年'");
    }

    /// Whatever is typed, an expression consists of quoted words and the operators of this file.
    #[test]
    fn fuzz_cue_tsquery() {
        crate::fuzz::run("cue-query", |bytes| {
            if let Ok(query) = Query::parse(&String::from_utf8_lossy(bytes)) {
                let expression = expression(&query).unwrap_or_default();
                assert!(expression.matches('\'').count().is_multiple_of(2), "{expression}");
                let between = expression.split('\'').step_by(2);
                for operator in between.filter(|part| !part.is_empty()) {
                    let known = [" & ", " <-> ", ":* & ", ":*"].contains(&operator);
                    assert!(known, "{operator:?} in {expression}");
                }
            }
        });
    }
}
