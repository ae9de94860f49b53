//! Names of streams.

use std::fmt;
use std::str::FromStr;

/// The name a stream is published, played and administered under.
///
/// 1-64 characters of `A-Z a-z 0-9 . _ -`, the first one a letter or a digit, so that a name is
/// safe in a URL path, a file name, a streamid and a metric label without any escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

/// Longest stream name, in characters.
const LENGTH_MAX: usize = 64;

/// Why a text is not a stream name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{}` is not a stream name: use 1-64 of A-Z a-z 0-9 . _ - and start with a letter or a digit",
    .0.chars().take(80).collect::<String>().escape_debug()
)]
pub struct NameError(String);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let head = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let body = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if head && body && text.len() <= LENGTH_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
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
            assert!(bad.parse::<StreamName>().is_err(), "{bad}");
        }
    }
}
