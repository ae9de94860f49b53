//! Search queries: what a user types, as terms that each database translates for its full-text index.
//!
//! Terms are text without syntax: no input is an error of the index or changes its meaning.

/// Maximum number of words and phrases in a search.
const SEARCH_WORDS_MAX: usize = 32;

/// Minimum text before a `*`, in bytes of UTF-8: three Latin letters, two Greek ones, one Hangul
/// syllable. A shorter prefix matches too many words: the search takes seconds.
const BEGINNING_MIN_BYTES: usize = 3;

/// Maximum length of a search, in characters.
const SEARCH_CHARS_MAX: usize = 256;

/// A parsed search: a cue must match every term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// At least one and at most [`SEARCH_WORDS_MAX`].
    pub(super) terms: Vec<Term>,
}

/// A part of a search, without control characters and with at least one letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// Words in this order, separated by whatever is neither letter nor digit.
    Words {
        /// One word or several.
        text: String,
        /// The last word may be the beginning of a longer one.
        begins: bool,
    },
    /// Text that is matched literally: scripts without spaces have no words to index.
    Literal(String),
}

/// Why a text cannot be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It contains no letter and no digit.
    #[error("there is no word in it")]
    Empty,
    /// The text before a `*` is too short.
    #[error("`*` needs at least {BEGINNING_MIN_BYTES} letters before it")]
    Beginning,
    /// It is too long.
    #[error("it is longer than {SEARCH_CHARS_MAX} characters or {SEARCH_WORDS_MAX} words")]
    Long,
}

impl Query {
    /// Parses user input: words, `"a phrase"`, `begin*`.
    ///
    /// # Errors
    /// If it contains nothing to search for, or is too long.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.chars().count() > SEARCH_CHARS_MAX {
            return Err(QueryError::Long);
        }
        let mut terms = Vec::new();
        // Every second piece is inside quotation marks, the last one even if it is not closed.
        for (n, piece) in text.split('"').enumerate() {
            let typed: Vec<&str> =
                if n % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect() };
            for term in typed.into_iter().filter(|t| t.chars().any(char::is_alphanumeric)) {
                terms.push(Term::parse(term)?);
            }
        }
        match terms.len() {
            0 => Err(QueryError::Empty),
            1..=SEARCH_WORDS_MAX => Ok(Self { terms }),
            _ => Err(QueryError::Long),
        }
    }

    /// The literal terms.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match term {
            Term::Literal(text) => Some(text.as_str()),
            Term::Words { .. } => None,
        })
    }
}

impl Term {
    fn parse(typed: &str) -> Result<Self, QueryError> {
        let begins = typed.ends_with('*');
        let plain = typed.trim_matches('*').replace(|c: char| c.is_control(), " ");
        let text = plain.trim().to_owned();
        if text.chars().any(is_unspaced) {
            return Ok(Self::Literal(text));
        }
        let last = text.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        if begins && last.len() < BEGINNING_MIN_BYTES {
            return Err(QueryError::Beginning);
        }
        Ok(Self::Words { text, begins })
    }
}

/// Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese and
/// Japanese.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x323af)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, begins: bool) -> Term {
        Term::Words { text: text.into(), begins }
    }

    #[test]
    fn words_phrases_and_beginnings() {
        let check = |text: &str, expect: &[Term]| {
            assert_eq!(Query::parse(text).expect(text).terms, expect, "{text}");
        };
        check("ask not", &[words("ask", false), words("not", false)]);
        check("\"ask not what\" you", &[words("ask not what", false), words("you", false)]);
        check("\"ask not*\"", &[words("ask not", true)]);
        check("a\0b", &[words("a b", false)]);
    }

    #[test]
    fn what_has_no_words_is_refused() {
        for text in ["", "  ", "\"\"", "***", "!?", "\"...\""] {
            assert_eq!(Query::parse(text), Err(QueryError::Empty), "{text}");
        }
        assert_eq!(Query::parse(&"a ".repeat(40)), Err(QueryError::Long));
        assert_eq!(Query::parse(&"a".repeat(300)), Err(QueryError::Long));
    }

    #[test]
    fn a_beginning_that_nearly_every_word_has_is_refused() {
        for text in ["w*", "ab*", "é*", "word w*", "\"ask n*\"", "a-b*", "word.*"] {
            assert_eq!(Query::parse(text), Err(QueryError::Beginning), "{text}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_looked_for_letter_by_letter() {
        let query = Query::parse("東京 news").expect("words");
        assert_eq!(query.terms, [Term::Literal("東京".into()), words("news", false)]);
        assert_eq!(query.literals().collect::<Vec<_>>(), ["東京"]);
    }
}
