//! The vocabulary of a Moonshine model: `tokenizer.bin`.
//!
//! One entry for each token, in order: its length, then its bytes. A length below 128 is one byte;
//! otherwise it is two, low seven bits first. `▁` (U+2581) stands for a space; `<0x41>` is a byte, other
//! `<…>` are markers.

use std::path::Path;

use crate::speech::stt::tokens::{AssembledWord, Token, assemble};

/// Number of tokens.
const VOCABULARY_TOKENS: usize = 32_768;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A token with its probability, 0-1.
pub(super) struct Heard {
    pub(super) token: u16,
    pub(super) probability: f32,
}

/// The tokens' bytes.
pub(super) struct Tokenizer(Vec<Vec<u8>>);

impl Tokenizer {
    /// Reads a vocabulary.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let at = |reason: String| format!("cannot load {}: {reason}", path.display());
        let size = std::fs::metadata(path).map_err(|e| at(e.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(at(format!("{size} bytes are no vocabulary")));
        }
        let bytes = std::fs::read(path).map_err(|e| at(e.to_string()))?;
        Self::parse(&bytes).ok_or_else(|| at("it is no vocabulary".into()))
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut tokens = Vec::with_capacity(VOCABULARY_TOKENS);
        while let Some((&low, rest)) = bytes.split_first() {
            let (length, rest) = match low {
                0..128 => (usize::from(low), rest),
                _ => {
                    let (&high, rest) = rest.split_first()?;
                    (usize::from(low - 128) + 128 * usize::from(high), rest)
                }
            };
            let (token, rest) = rest.split_at_checked(length)?;
            tokens.push(plain(token));
            bytes = rest;
        }
        (tokens.len() == VOCABULARY_TOKENS).then_some(Self(tokens))
    }

    /// Bytes of a token: empty for markers.
    fn bytes(&self, token: usize) -> &[u8] {
        self.0.get(token).map_or(&[], Vec::as_slice)
    }

    /// Joins tokens to words, which have no times yet.
    pub(super) fn words(&self, heard: &[Heard]) -> Vec<AssembledWord> {
        let bytes = |heard: &Heard| self.bytes(heard.token.into()).to_vec();
        let token =
            |heard: &Heard| Token { bytes: bytes(heard), start: 0, end: 0, p: heard.probability };
        let tokens: Vec<Token> = heard.iter().map(token).filter(|t| !t.bytes.is_empty()).collect();
        assemble(&tokens, true)
    }
}

/// A token as it appears in text.
fn plain(token: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(token) {
        Ok(text) if text.starts_with('<') && text.ends_with('>') => {
            let byte = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
            byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()).into_iter().collect()
        }
        Ok(text) => text.replace('\u{2581}', " ").into_bytes(),
        Err(_) => token.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vocabulary that begins with these tokens; the others are empty.
    fn vocabulary(first: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for token in first {
            match token.len() {
                short @ 0..128 => bytes.push(short as u8),
                long => bytes.extend([(long % 128 + 128) as u8, (long / 128) as u8]),
            }
            bytes.extend_from_slice(token);
        }
        bytes.resize(bytes.len() + VOCABULARY_TOKENS - first.len(), 0);
        bytes
    }

    #[test]
    fn tokens_are_read_as_text() {
        let long = vec![b'x'; 300];
        let file = vocabulary(&[b"<unk>", b"<s>", b"<0x41>", "\u{2581}hello".as_bytes(), &long]);
        let tokens = Tokenizer::parse(&file).expect("a vocabulary");
        let expect: [&[u8]; 5] = [b"", b"", b"A", b" hello", &long];
        for (token, expect) in expect.iter().enumerate() {
            assert_eq!(tokens.bytes(token), *expect, "token {token}");
        }
        assert_eq!(tokens.bytes(VOCABULARY_TOKENS), b"");
    }

    #[test]
    fn what_is_cut_or_of_another_length_is_refused() {
        let whole = vocabulary(&[b"abc"]);
        assert!(Tokenizer::parse(&whole).is_some());
        assert!(Tokenizer::parse(&whole[..whole.len() - 1]).is_none());
        assert!(Tokenizer::parse(&[whole, vec![0]].concat()).is_none());
        assert!(Tokenizer::parse(&[5, b'a']).is_none());
    }

    #[test]
    fn fuzz_moonshine_tokenizer() {
        let seed = vocabulary(&[b"<s>", b"<0x41>", "\u{2581}hello".as_bytes(), &[b'x'; 300]]);
        crate::fuzz::run_with("moonshine-tokenizer", &[&seed], |bytes| {
            let _ = Tokenizer::parse(bytes);
        });
    }
}
