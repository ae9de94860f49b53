//! Tokens that are stored as SHA-256.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a token. A token of 192 random bits needs no salt and no slow hash.
pub(super) type Digest = [u8; 32];

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of a token.
pub(super) fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether the token has this digest, in constant time.
pub(super) fn matches(token: &str, expected: &Digest) -> bool {
    digest(token).ct_eq(expected).into()
}

/// Parses a stored digest: 64 hexadecimal digits.
pub(super) fn parse_digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != digest.len() * 2 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::new_token;

    #[test]
    fn a_token_matches_its_own_digest_only() {
        let (token, other) = (new_token(), new_token());
        let stored = hex(&digest(&token));
        let read = parse_digest(&stored).expect("own digest");
        assert!(matches(&token, &read));
        assert!(!matches(&other, &read));
        assert!(!matches("", &read));
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(parse_digest(bad), None, "{bad}");
        }
        assert_eq!(hex(&digest("abc"))[..16], *"ba7816bf8f01cfea", "FIPS 180-2 test vector");
    }
}
