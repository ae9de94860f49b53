//! Joins the tokens of a speech model to words.

/// A token of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// Bytes of the token: not always whole characters.
    pub(super) bytes: Vec<u8>,
    /// Begin and end, in ms.
    pub(super) start: i64,
    pub(super) end: i64,
    /// Probability, 0-1.
    pub(super) p: f32,
}

/// A word: text, start and end in ms, mean probability.
pub(super) type AssembledWord = (String, u32, u32, f32);

/// Joins tokens to words: text, start and end in ms, mean probability. `spaced`: the language
/// writes spaces between words, and a token with a leading space begins a word.
pub(super) fn assemble(tokens: &[Token], spaced: bool) -> Vec<AssembledWord> {
    let mut groups: Vec<Vec<&Token>> = Vec::new();
    let mut pending = Vec::new();
    for token in tokens {
        let begins = if spaced {
            token.bytes.first().is_some_and(u8::is_ascii_whitespace)
        } else {
            // Splits where the bytes so far are whole characters and this token is not punctuation.
            std::str::from_utf8(&pending).is_ok() && !is_punctuation(&token.bytes)
        };
        if begins || groups.is_empty() {
            groups.push(Vec::new());
            pending.clear();
        }
        pending.extend_from_slice(&token.bytes);
        if let Some(group) = groups.last_mut() {
            group.push(token);
        }
    }
    let word = |group: Vec<&Token>| {
        let bytes: Vec<u8> = group.iter().flat_map(|t| t.bytes.iter().copied()).collect();
        let text = String::from_utf8_lossy(&bytes).trim().replace('\u{fffd}', "");
        let (first, last) = (group.first()?, group.last()?);
        let p = group.iter().map(|t| t.p).sum::<f32>() / group.len() as f32;
        let start = first.start.clamp(0, i64::from(u32::MAX)) as u32;
        let end = last.end.clamp(i64::from(start), i64::from(u32::MAX)) as u32;
        (!text.is_empty()).then_some((text, start, end, p))
    };
    groups.into_iter().filter_map(word).collect()
}

fn is_punctuation(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|t| !t.is_empty() && !t.chars().any(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tokens: &[&[u8]], spaced: bool, expect: &[&str]) {
        let token = |(n, bytes): (usize, &&[u8])| Token {
            bytes: bytes.to_vec(),
            start: n as i64 * 100,
            end: n as i64 * 100 + 100,
            p: 0.5,
        };
        let tokens: Vec<Token> = tokens.iter().enumerate().map(token).collect();
        let words = assemble(&tokens, spaced);
        let texts: Vec<&str> = words.iter().map(|w| w.0.as_str()).collect();
        assert_eq!(texts, expect);
        assert!(words.iter().all(|w| w.1 < w.2 && (w.3 - 0.5).abs() < 1e-6), "{words:?}");
    }

    #[test]
    fn tokens_join_to_words() {
        check(
            &[b" Ask", b" not", b",", b" A", b"mer", b"icans", b"."],
            true,
            &["Ask", "not,", "Americans."],
        );
        check(&[b"So", b" it"], true, &["So", "it"]);
        check(&[], true, &[]);
    }

    #[test]
    fn characters_that_are_split_between_tokens_are_whole_again() {
        let cat = "猫".as_bytes();
        check(
            &[&cat[..1], &cat[1..], "です".as_bytes(), "。".as_bytes()],
            false,
            &["猫", "です。"],
        );
        check(&[b" caf", &[0xc3], &[0xa9]], true, &["café"]);
        check(&[&[0xff], b" x"], true, &["x"]);
    }
}
