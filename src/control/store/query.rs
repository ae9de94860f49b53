//! Search queries, translated for the full-text index.
//!
//! User input never becomes index syntax, except what this file adds: words are quoted, so that no
//! input is an error or changes its meaning.

/// Maximum number of words and phrases in a search.
const TERMS_MAX: usize = 32;

/// Minimum text before a `*`, in bytes of UTF-8: three Latin letters, two Greek ones, one Hangul
/// syllable. A shorter prefix matches too many words: the search takes seconds.
const BEGINNING_MIN_BYTES: usize = 3;

/// Maximum length of a search, in characters.
const LENGTH_MAX: usize = 256;

/// A parsed search: a cue must match every term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// An FTS5 expression; empty if there are only `parts`.
    pub(super) expression: String,
    /// Text that is matched literally: scripts without spaces have no words to index.
    pub(super) parts: Vec<String>,
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
    #[error("it is longer than {LENGTH_MAX} characters or {TERMS_MAX} words")]
    Long,
}

impl Query {
    /// Parses user input: words, `"a phrase"`, `begin*`.
    ///
    /// # Errors
    /// If it contains nothing to search for, or is too long.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.chars().count() > LENGTH_MAX {
            return Err(QueryError::Long);
        }
        let mut query = Self::default();
        let mut count = 0;
        // Every second piece is inside quotation marks, the last one even if it is not closed.
        for (n, piece) in text.split('"').enumerate() {
            let terms: Vec<&str> =
                if n % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect() };
            for term in terms.into_iter().filter(|t| t.chars().any(char::is_alphanumeric)) {
                count += 1;
                query.add(term)?;
            }
        }
        match count {
            0 => Err(QueryError::Empty),
            1..=TERMS_MAX => Ok(query),
            _ => Err(QueryError::Long),
        }
    }

    fn add(&mut self, term: &str) -> Result<(), QueryError> {
        let begins = term.ends_with('*');
        let plain = term.trim_matches('*').trim();
        if plain.chars().any(is_unspaced) {
            self.parts.push(plain.to_owned());
            return Ok(());
        }
        let last = plain.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        if begins && last.len() < BEGINNING_MIN_BYTES {
            return Err(QueryError::Beginning);
        }
        if !self.expression.is_empty() {
            self.expression.push(' ');
        }
        // Only a quotation mark ends an FTS5 string, and `split` has removed those.
        self.expression.push('"');
        self.expression.extend(plain.chars().map(|c| if c.is_control() { ' ' } else { c }));
        self.expression.push('"');
        if begins {
            self.expression.push('*');
        }
        Ok(())
    }
}

/// Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese and
/// Japanese.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x323af)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_beginnings() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Query::parse(text).expect(text).expression, expect, "{text}");
        };
        check("country", "\"country\"");
        check("ask not", "\"ask\" \"not\"");
        check("\"ask not what\" you", "\"ask not what\" \"you\"");
        check("fellow \"ask not", "\"fellow\" \"ask not\"");
        check("coun*", "\"coun\"*");
        check("\"ask not*\"", "\"ask not\"*");
        check("한*", "\"한\"*");
        check("a OR b", "\"a\" \"OR\" \"b\"");
        check("text:a NEAR(b, 2) -c ^d", "\"text:a\" \"NEAR(b,\" \"2)\" \"-c\" \"^d\"");
        check("a\0b", "\"a b\"");
        check("' -- ; é", "\"é\"");
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
        assert_eq!((query.expression.as_str(), query.parts), ("\"news\"", vec!["東京".to_owned()]));
    }

    /// Only the words of any input reach the index.
    #[test]
    fn fuzz_cue_query() {
        crate::fuzz::run("cue-query", |bytes| {
            if let Ok(query) = Query::parse(&String::from_utf8_lossy(bytes)) {
                let quotes = query.expression.matches('"').count();
                assert!(quotes.is_multiple_of(2), "{}", query.expression);
            }
        });
    }
}
