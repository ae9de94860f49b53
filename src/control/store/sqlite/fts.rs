//! The full-text index FTS5: how a query is written for it.

use crate::control::store::query::{Query, Term};

/// The expression that finds the words of a query. `None` if it has only literal terms.
pub(super) fn expression(query: &Query) -> Option<String> {
    let mut expression = String::new();
    for term in &query.terms {
        let Term::Words { text, begins } = term else { continue };
        if !expression.is_empty() {
            expression.push(' ');
        }
        // Only a quotation mark ends an FTS5 string, and terms have none.
        expression.push('"');
        expression.push_str(text);
        expression.push('"');
        if *begins {
            expression.push('*');
        }
    }
    (!expression.is_empty()).then_some(expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_beginnings() {
        let check = |text: &str, expect: &str| {
            let query = Query::parse(text).expect(text);
            assert_eq!(expression(&query).as_deref(), Some(expect), "{text}");
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
        check("東京 news", "\"news\"");
        assert_eq!(expression(&Query::parse("東京").expect("words")), None);
    }

    /// Only the words of any input reach the index.
    #[test]
    fn fuzz_cue_query() {
        crate::fuzz::run("cue-query", |bytes| {
            if let Ok(query) = Query::parse(&String::from_utf8_lossy(bytes)) {
                let expression = expression(&query).unwrap_or_default();
                assert!(expression.matches('"').count().is_multiple_of(2), "{expression}");
            }
        });
    }
}
