//! Secrets: generation, validation, and protection against leaks through logs.

use std::fmt;

use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

/// Random bytes of a token: 192 bits, which cannot be guessed.
const TOKEN_BYTES: usize = 24;

/// Shortest token accepted from an admin, in characters.
const TOKEN_CHARS_MIN: usize = 8;

/// Longest token, in characters as encoded in an address. A streamid has 512 bytes (SRT access
/// control guidelines), of which some clients accept 255; the stream's name and the action before
/// the token take up to 73.
const TOKEN_CHARS_MAX: usize = 180;

/// Passphrase lengths that libsrt accepts, in bytes (`SRTO_PASSPHRASE`).
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 10..=79;

/// Creates a random token; all tokens of the appliance come from here. Its hexadecimal digits need
/// no escaping in URLs, streamids, stream keys, headers and shells.
pub fn new_token() -> String {
    use fmt::Write;
    let bytes: [u8; TOKEN_BYTES] = rand::random();
    bytes.iter().fold(String::with_capacity(2 * TOKEN_BYTES), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns what is wrong with a token from an admin, in a text that does not repeat it.
pub fn token_problem(token: &str) -> Option<String> {
    // In an address other characters take three: `%2F`.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let shown: usize = token.chars().map(|c| if plain(c) { 1 } else { 3 }).sum();
    if token.len() < TOKEN_CHARS_MIN {
        Some(format!(
            "a token has at least {TOKEN_CHARS_MIN} characters; leave it out to have one made"
        ))
    } else if !token.chars().all(|c| c.is_ascii_graphic()) {
        Some("a token has no spaces, no control characters and nothing but ASCII".into())
    } else if shown > TOKEN_CHARS_MAX {
        Some(format!(
            "a token has at most {TOKEN_CHARS_MAX} characters; those other than A-Z a-z 0-9 - . _ ~ count \
             three"
        ))
    } else {
        None
    }
}

/// Returns what is wrong with the length of an SRT passphrase.
pub fn passphrase_length_problem(passphrase: &str) -> Option<String> {
    let fits = PASSPHRASE_BYTES.contains(&passphrase.len());
    (!fits).then(|| "an SRT passphrase has 10-79 characters".into())
}

/// Returns what is wrong with an SRT passphrase for callers, in a text that does not repeat it.
pub fn passphrase_problem(passphrase: &str) -> Option<String> {
    let illegible = || {
        let message = "an SRT passphrase has no `&`, `+`, `%` or `#` and nothing but printable \
                       ASCII: ffmpeg, OBS and srt-live-transmit take it from an address as it \
                       stands there";
        (!fits_address(passphrase)).then(|| message.into())
    };
    passphrase_length_problem(passphrase).or_else(illegible)
}

/// Whether an SRT passphrase works in an address. Clients do not percent-decode it; `&` ends a
/// value, `+` becomes a space in ffmpeg and OBS, `#` and `%` have a meaning in other clients.
pub fn fits_address(passphrase: &str) -> bool {
    passphrase.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && !"&+%#".contains(c))
}

/// A token, passphrase or key. `Debug` never shows it; comparison takes constant time.
#[derive(Clone, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Call it only where the secret is used, never where it is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the secret is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is the same secret, in time that depends only on the lengths.
    pub fn matches(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }

    /// Whether `other` is the same secret, as it is or after percent-decoding: some clients send
    /// the text of an address unchanged, others decode it first.
    pub fn matches_pasted(&self, other: &str) -> bool {
        self.matches(other) || Self(self.percent_decoded()).matches(other)
    }

    /// Whether two callers sent the same secret, encoded or not.
    pub fn matches_any_pasted(&self, other: &Secret) -> bool {
        self.matches_pasted(&other.0)
            || Self(self.percent_decoded()).matches(&other.percent_decoded())
    }

    fn percent_decoded(&self) -> String {
        percent_decode_str(&self.0).decode_utf8_lossy().into_owned()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(***)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_and_comparison_is_exact() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter"));
        assert!(!secret.matches(""));
    }

    #[test]
    fn what_was_pasted_matches_encoded_or_not() {
        let check = |sent: &str, token: &str, expect: bool| {
            assert_eq!(Secret::new(sent).matches_pasted(token), expect, "{sent} {token}");
        };
        check("change-me", "change-me", true);
        check("change%2Dme", "change-me", true);
        check("a%2Fb%26c", "a/b&c", true);
        check("a%2Fb", "a%2Fb", true);
        check("a%252Fb", "a%2Fb", true);
        check("change", "change-me", false);
        check("", "change-me", false);
        let both = |a: &str, b: &str| Secret::new(a).matches_any_pasted(&Secret::new(b));
        assert!(both("a/b", "a%2Fb") && both("a%2Fb", "a/b") && both("a%2fb", "a%2Fb"));
        assert!(!both("a/b", "a%2Fc"));
    }

    #[test]
    fn tokens_are_made_in_one_strength_and_checked() {
        let (one, other) = (new_token(), new_token());
        assert_eq!((one.len(), token_problem(&one)), (2 * TOKEN_BYTES, None));
        assert_ne!(one, other);
        let check = |token: &str, expect: Option<&str>| {
            let problem = token_problem(token);
            match (&problem, expect) {
                (Some(said), Some(expect)) => assert!(said.contains(expect), "{token}: {said}"),
                _ => assert_eq!(problem.as_deref(), expect, "{token}"),
            }
        };
        check("change-me-please", None);
        check("a/b&c+d%e,f:g#h", None);
        check("x", Some("at least 8"));
        check("", Some("at least 8"));
        check("with a space", Some("no spaces"));
        check("größer-als-acht", Some("ASCII"));
        check(&"x".repeat(181), Some("at most 180"));
        check(&"/".repeat(61), Some("at most 180"));
    }

    #[test]
    fn passphrases_stand_in_an_address_as_they_are() {
        for good in ["ten-characters", "correct horse battery", "a.b_c~d!e:f,g/h=i@j"] {
            assert_eq!(passphrase_problem(good), None, "{good}");
        }
        for bad in
            ["short", "0123456789&", "0123456789+", "0123456789%", "#123456789", "zehn-größer"]
        {
            assert!(passphrase_problem(bad).is_some(), "{bad}");
        }
        assert!(passphrase_problem(&"x".repeat(80)).is_some());
    }
}
