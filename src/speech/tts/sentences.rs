//! Sentences and clauses of a text, by its punctuation.
//!
//! Where a sentence ends decides only what is spoken at once: a wrong cut costs a pause.

/// Shortest sentence that is spoken on its own, in characters.
const SENTENCE_CHARS_MIN: usize = 20;

/// Shortenings with a full stop that is no end.
const SHORTENINGS: [&str; 14] =
    ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "jr", "sr", "sra", "mme", "hr", "fr", "bzw"];

/// A part of a sentence, up to a punctuation mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clause<'a> {
    /// The words, without the mark.
    pub(super) words: &'a str,
    /// The mark behind them as ASCII: one of `.,;:?!`; `None` at the end of a text without one.
    pub(super) mark: Option<char>,
    /// Where the text goes on, in bytes.
    end: usize,
}

/// The clauses of a text. Parts without a letter or digit are left out.
pub(super) fn clauses(text: &str) -> Vec<Clause<'_>> {
    let mut found: Vec<Clause<'_>> = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let after = at + c.len_utf8();
        let Some(mark) = mark(c).filter(|mark| divides(text, begin, at, after, c, *mark)) else {
            at = after;
            continue;
        };
        // Further marks and closing quotes belong to the clause.
        let rest = text[after..].trim_start_matches(|c| self::mark(c).is_some() || closes(c));
        let end = text.len() - rest.len();
        push(&mut found, &text[begin..at], Some(mark), end);
        (begin, at) = (end, end);
    }
    push(&mut found, &text[begin..], None, text.len());
    found
}

fn push<'a>(found: &mut Vec<Clause<'a>>, words: &'a str, mark: Option<char>, end: usize) {
    let words = words.trim();
    if words.chars().any(char::is_alphanumeric) {
        found.push(Clause { words, mark, end });
    } else if let Some(last) = found.last_mut() {
        last.end = end;
    }
}

/// The sentences of a text. Short ones stay with the next.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = 0;
    for clause in clauses(text) {
        let ends = matches!(clause.mark, Some('.' | '?' | '!'));
        let sentence = text[begin..clause.end].trim();
        if ends && sentence.chars().count() >= SENTENCE_CHARS_MIN {
            found.push(sentence);
            begin = clause.end;
        }
    }
    let rest = text[begin..].trim();
    if rest.chars().any(char::is_alphanumeric) || found.is_empty() {
        found.push(rest);
    }
    found
}

/// The ASCII form of a punctuation mark.
fn mark(c: char) -> Option<char> {
    Some(match c {
        '.' | ',' | ';' | ':' | '?' | '!' => c,
        '…' | '。' => '.',
        '、' | '，' | '—' | '–' => ',',
        '；' => ';',
        '：' => ':',
        '？' | '؟' => '?',
        '！' => '!',
        '،' => ',',
        _ => return None,
    })
}

fn closes(c: char) -> bool {
    matches!(c, '"' | '\'' | '\u{201d}' | '\u{2019}' | '»' | ')' | ']' | '」' | '』')
}

/// Whether a mark at `at` ends the clause that begins at `begin`.
fn divides(text: &str, begin: usize, at: usize, after: usize, c: char, mark: char) -> bool {
    let rest = &text[after..];
    let next = rest.trim_start_matches(|c| self::mark(c).is_some() || closes(c)).chars().next();
    let spaced = next.is_none_or(char::is_whitespace);
    // 3.14, 10:30, example.org; Chinese and Japanese write no spaces.
    if c.is_ascii() && !spaced {
        return false;
    }
    // A dash between words without spaces joins them.
    if matches!(c, '—' | '–') && !text[..at].ends_with(' ') {
        return false;
    }
    mark != '.' || c != '.' || ends_sentence(&text[begin..at], rest)
}

/// Whether a full stop between `before` and `rest` ends a sentence, and no shortening or number.
fn ends_sentence(before: &str, rest: &str) -> bool {
    let following = rest.trim_start().chars().next();
    let Some(following) = following else { return true };
    let last = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = last.trim_start_matches(|c: char| !c.is_alphanumeric());
    let single = last.chars().count() == 1 && last.chars().all(char::is_alphabetic);
    // `am 3. Mai`
    let ordinal = last.len() <= 2 && !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let shortened = last.contains('.') || SHORTENINGS.contains(&last.to_lowercase().as_str());
    !(following.is_lowercase() || single || ordinal || shortened)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clauses_end_at_marks_that_are_punctuation() {
        let check = |text: &str, expect: &[(&str, Option<char>)]| {
            let found = clauses(text);
            let found: Vec<_> = found.iter().map(|c| (c.words, c.mark)).collect();
            assert_eq!(found, expect, "{text}");
        };
        check("Hello, world. Bye", &[("Hello", Some(',')), ("world", Some('.')), ("Bye", None)]);
        check("It costs 3.14 at 10:30!", &[("It costs 3.14 at 10:30", Some('!'))]);
        check("Mr. Smith of the U.S. Navy", &[("Mr. Smith of the U.S. Navy", None)]);
        check("Am 3. Mai ist Schluss.", &[("Am 3. Mai ist Schluss", Some('.'))]);
        check(
            "He said: \"No!\" Why?!",
            &[("He said", Some(':')), ("\"No", Some('!')), ("Why", Some('?'))],
        );
        check("One — two, … three", &[("One", Some(',')), ("two", Some(',')), ("three", None)]);
        check("你好，世界。再见", &[("你好", Some(',')), ("世界", Some('.')), ("再见", None)]);
        check(" . , ", &[]);
        check("", &[]);
    }

    #[test]
    fn sentences_are_cut_and_short_ones_stay_together() {
        let check = |text: &str, expect: &[&str]| assert_eq!(sentences(text), expect, "{text}");
        let (one, two) = ("This is the first sentence.", "And here comes the second, right?");
        check(&format!("{one} {two}"), &[one, two]);
        check("Yes. No. Good evening.", &["Yes. No. Good evening."]);
        check("No mark at all", &["No mark at all"]);
        check(
            "\"This is what she said.\" That was it, then.",
            &["\"This is what she said.\"", "That was it, then."],
        );
        check("", &[""]);
    }

    proptest! {
        #[test]
        fn no_word_is_lost_in_any_text(text in "[a-zé .,;!?\"—…。，0-9()]{0,200}") {
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let whole = letters(&text);
            let cut: String = sentences(&text).iter().map(|s| letters(s)).collect();
            prop_assert_eq!(&cut, &whole);
            let cut: String = clauses(&text).iter().map(|c| letters(c.words)).collect();
            prop_assert_eq!(&cut, &whole);
        }
    }
}
