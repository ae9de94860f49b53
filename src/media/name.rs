//! Names of streams.

use std::fmt;
use std::str::FromStr;

/// The name under which a stream is published, played and administered.
///
/// 1-64 characters of `A-Z a-z 0-9 . _ -`, the first one a letter or a digit, so that a name is
/// safe in a URL path, a file name, a streamid and a metric label without any escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

/// Longest stream name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// A text that is not a stream name. Never repeats the text: users paste stream keys where a name
/// is expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "this is not a stream name: use 1-64 of A-Z a-z 0-9 . _ - and start with a letter or a digit"
)]
pub struct NameError;

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The longest prefix of a text that is a legal stream name: `studio-1&token=…` belongs to
    /// `studio-1`, although it is not a stream key.
    pub fn leading(text: &str) -> Option<Self> {
        let end = text.bytes().position(|b| !is_legal(b)).unwrap_or(text.len());
        text[..end].parse().ok()
    }
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

impl FromStr for StreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let head = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if head && text.bytes().all(is_legal) && text.len() <= NAME_CHARS_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for StreamName {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for StreamName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_url_safe_names_only() {
        for good in ["a", "studio-1", "Cam_2.main", "9"] {
            assert!(good.parse::<StreamName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "../etc", "a b", "-x", "é", &"x".repeat(65), "a/b", "a\0"] {
            let error = bad.parse::<StreamName>().expect_err(bad).to_string();
            assert!(error.contains("is not a stream name"), "{error}");
        }
        let error = "hunter2&x".parse::<StreamName>().expect_err("no name").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_name_at_the_beginning_is_found() {
        let check = |text: &str, expect: Option<&str>| {
            let found = StreamName::leading(text);
            assert_eq!(found.as_ref().map(StreamName::as_str), expect, "{text}");
        };
        check("studio-1&token=x", Some("studio-1"));
        check("studio-1", Some("studio-1"));
        check("?token=x", None);
        check("é", None);
    }
}
