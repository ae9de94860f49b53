//! Divides cues into unbreakable pieces and counts their columns.

use std::time::Duration;

use crate::media::Cue;

/// Stands before the words of another speaker, on a new row, as in American television (CEA-608
/// captions have no other sign for it).
pub(super) const NEW_SPEAKER: &str = ">>";

/// A piece of text that stays together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// The text, without spaces around it.
    pub(super) text: String,
    /// Begin of the token's speech.
    pub(super) start: Duration,
    /// End of the token's speech.
    pub(super) end: Duration,
    /// Whether a space separates it from the previous token.
    pub(super) spaced: bool,
}

/// Closing punctuation and small kana, which may not begin a line (JIS X 4051).
const NOT_FIRST: &str =
    "、。，．・：；？！」』）］｝〉》】〕’”ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々…";

/// Opening brackets, which may not end a line.
const NOT_LAST: &str = "「『（［｛〈《【〔‘“";

/// Whether a character takes two columns (East Asian Wide and Fullwidth of UAX #11, by blocks).
pub(super) fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}

/// Whether a line may break before and after a character without a space: Chinese and Japanese.
/// Korean is wide but has spaces.
fn stands_alone(c: char) -> bool {
    is_wide(c) && !matches!(c, '\u{1100}'..='\u{115f}' | '\u{ac00}'..='\u{d7a3}')
}

/// Whether a character takes no column: combining marks and directional marks, by blocks.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{5c1}'..='\u{5c7}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{93c}' | '\u{941}'..='\u{948}' | '\u{94d}' | '\u{e31}'
        | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}')
}

/// Columns of a text; a Latin letter takes one.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_mark(c) { 0 } else { 1 + usize::from(is_wide(c)) }).sum()
}

/// The tokens of a cue in reading order. Without words the time is divided by width. Control
/// characters become spaces.
pub(super) fn tokens(cue: &Cue) -> Vec<Token> {
    let text: String = cue.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut made = Vec::new();
    if cue.words.is_empty() {
        let total = columns(&text).max(1) as f64;
        let span = cue.end.saturating_sub(cue.start);
        let mut done = 0;
        for word in text.split_whitespace() {
            let start = cue.start + span.mul_f64((done as f64 / total).min(1.0));
            done += columns(word);
            let end = cue.start + span.mul_f64((done as f64 / total).min(1.0));
            done += 1;
            split(word, start, end, true, &mut made);
        }
        return made;
    }
    let mut rest = text.as_str();
    for word in cue.words.iter() {
        let clean: String = word.text.split(char::is_control).collect();
        // The text of the cue tells whether a space precedes the word; if the word is not in it,
        // Latin letters get a space.
        let spaced = match rest.find(&clean) {
            Some(at) => {
                let spaced = rest[..at].contains(char::is_whitespace) || made.is_empty();
                rest = &rest[at + clean.len()..];
                spaced
            }
            None => true,
        };
        for (n, part) in clean.split_whitespace().enumerate() {
            split(part, word.start, word.end, spaced || n > 0, &mut made);
        }
    }
    made
}

/// Splits a word where Chinese or Japanese may break.
fn split(word: &str, start: Duration, end: Duration, spaced: bool, made: &mut Vec<Token>) {
    let first = made.len();
    for c in word.chars() {
        let glued = made[first..].last().is_some_and(|last| {
            let before = last.text.chars().next_back().unwrap_or(' ');
            let breakable = stands_alone(before) || stands_alone(c);
            !breakable || NOT_FIRST.contains(c) || NOT_LAST.contains(before) || is_mark(c)
        });
        match made.last_mut() {
            Some(last) if glued => last.text.push(c),
            // A character that may not begin a line joins the previous token, even of another word.
            Some(last) if made_elsewhere(last, c, spaced) => {
                last.text.push(c);
                last.end = last.end.max(end);
            }
            _ => {
                let alone = stands_alone(c) || made.len() > first;
                let spaced = spaced && made.len() == first;
                // No space goes before a wide character at the start of a cue.
                let spaced = spaced && !(alone && first == 0 && stands_alone(c));
                made.push(Token { text: c.into(), start, end, spaced });
            }
        }
    }
    let count = made.len().saturating_sub(first) as u32;
    if count > 1 {
        let step = end.saturating_sub(start) / count;
        for (n, token) in made[first..].iter_mut().enumerate() {
            token.start = start + step * n as u32;
            token.end = token.start + step;
        }
    }
}

/// Whether a character belongs to the token of an earlier word.
fn made_elsewhere(last: &Token, c: char, spaced: bool) -> bool {
    !spaced && NOT_FIRST.contains(c) && last.text.chars().next_back().is_some_and(stands_alone)
}

/// The text of tokens as one line.
pub(super) fn join(tokens: &[Token]) -> String {
    let mut line = String::new();
    for token in tokens {
        if token.spaced && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&token.text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::testing::{cue, spoken};

    fn texts(cue: &Cue) -> Vec<String> {
        let mark = |t: Token| if t.spaced { format!(" {}", t.text) } else { t.text };
        tokens(cue).into_iter().map(mark).collect()
    }

    #[test]
    fn a_cue_without_words_shares_its_time_out() {
        let made = tokens(&cue(1, 10.0, 12.0, "ab cd efgh"));
        let starts: Vec<_> = made.iter().map(|t| t.start.as_secs_f64()).collect();
        assert_eq!(starts, [10.0, 10.6, 11.2]);
        assert_eq!(made[2].end.as_secs_f64(), 12.0);
    }

    #[test]
    fn chinese_and_japanese_break_between_characters_but_not_before_a_full_stop() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(texts(&cue(1, 0.0, 1.0, text)), expect, "{text}");
        };
        check("今日は。", &["今", "日", "は。"]);
        check("「今日」", &["「今", "日」"]);
        check("GPT 模型", &[" GPT", " 模", "型"]);
        check("안녕 세계", &[" 안녕", " 세계"]);
        check("a\tb\u{7}c", &[" a", " b", " c"]);
    }

    #[test]
    fn words_that_the_text_joins_stay_joined() {
        let joined = spoken(1, "今日は", &[("今日", 0.0, 0.5), ("は", 0.5, 0.6), ("。", 0.6, 0.7)]);
        assert_eq!(texts(&joined)[..3], ["今", "日", "は"]);
        let latin = spoken(1, "Hello, world", &[("Hello,", 0.0, 0.5), ("world", 0.5, 0.9)]);
        assert_eq!(texts(&latin), [" Hello,", " world"]);
    }

    #[test]
    fn columns_are_counted_as_they_are_seen() {
        for (text, expect) in [("abc", 3), ("日本", 4), ("e\u{301}", 1), ("שָׁלוֹם", 4), ("", 0)]
        {
            assert_eq!(columns(text), expect, "{text}");
        }
    }
}
