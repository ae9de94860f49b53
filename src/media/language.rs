//! Language tags.

use std::fmt;
use std::str::FromStr;

/// A language tag of BCP 47 (RFC 5646): `en`, `pt-BR`, `zh-Hant`. Its primary part is lower case,
/// the rest is kept as given. At most 35 characters; safe in a feed's name, a file name and a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(String);

/// Longest tag (RFC 5646 section 4.4.1 recommends room for 35 characters).
const TAG_CHARS_MAX: usize = 35;

/// Why a text is not a language.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not a language: use a BCP 47 tag such as en, es or pt-BR",
    .0.chars().take(80).collect::<String>().escape_debug())]
pub struct LanguageError(String);

impl Language {
    /// English.
    pub fn english() -> Self {
        Self("en".into())
    }

    /// Unknown language (`und`, RFC 5646 section 4.1).
    pub fn undetermined() -> Self {
        Self("und".into())
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language without script and region: `pt` of `pt-BR`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// Whether both are the same language, ignoring script and region.
    pub fn same_language(&self, other: &Language) -> bool {
        self.primary() == other.primary()
    }

    /// Its display name in the language itself: `English`, `español` …; the tag if the name is
    /// unknown.
    pub fn name(&self) -> &str {
        NAMES.iter().find(|(tag, _)| *tag == self.primary()).map_or(&self.0, |(_, name)| name)
    }
}

/// Names of languages in the languages themselves (CLDR 44).
const NAMES: [(&str, &str); 41] = [
    ("ar", "العربية"),
    ("bg", "български"),
    ("ca", "català"),
    ("cs", "čeština"),
    ("da", "dansk"),
    ("de", "Deutsch"),
    ("el", "Ελληνικά"),
    ("en", "English"),
    ("eo", "Esperanto"),
    ("es", "español"),
    ("et", "eesti"),
    ("eu", "euskara"),
    ("fa", "فارسی"),
    ("fi", "suomi"),
    ("fr", "français"),
    ("gl", "galego"),
    ("he", "עברית"),
    ("hi", "हिन्दी"),
    ("hr", "hrvatski"),
    ("hu", "magyar"),
    ("id", "Indonesia"),
    ("is", "íslenska"),
    ("it", "italiano"),
    ("ja", "日本語"),
    ("ko", "한국어"),
    ("lt", "lietuvių"),
    ("lv", "latviešu"),
    ("nb", "norsk bokmål"),
    ("nl", "Nederlands"),
    ("oc", "occitan"),
    ("pl", "polski"),
    ("pt", "português"),
    ("ro", "română"),
    ("ru", "русский"),
    ("sk", "slovenčina"),
    ("sl", "slovenščina"),
    ("sv", "svenska"),
    ("tr", "Türkçe"),
    ("uk", "українська"),
    ("vi", "Tiếng Việt"),
    ("zh", "中文"),
];

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let wrong = || LanguageError(text.to_owned());
        if text.len() > TAG_CHARS_MAX {
            return Err(wrong());
        }
        let mut parts = text.split('-');
        let primary = parts.next().unwrap_or_default();
        let letters = |s: &str| s.bytes().all(|b| b.is_ascii_alphabetic());
        if !(2..=3).contains(&primary.len()) || !letters(primary) {
            return Err(wrong());
        }
        let rest: Vec<&str> = parts.collect();
        let fits =
            |s: &&str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
        if !rest.iter().all(fits) {
            return Err(wrong());
        }
        let mut tag = primary.to_ascii_lowercase();
        for part in rest {
            tag.push('-');
            tag.push_str(part);
        }
        Ok(Self(tag))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Language {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Language {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_and_others_refused() {
        for (text, tag) in [("en", "en"), ("EN", "en"), ("pt-BR", "pt-BR"), ("zh-Hant", "zh-Hant")]
        {
            assert_eq!(text.parse::<Language>().map(|l| l.to_string()), Ok(tag.to_owned()));
        }
        for bad in ["", "e", "english", "en_US", "en/..", "-", "en-", "1a", &"a-b".repeat(20)] {
            assert!(bad.parse::<Language>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_is_still_the_same_language() {
        let (pt, brazil): (Language, Language) =
            ("pt".parse().expect("valid"), "pt-BR".parse().expect("valid"));
        assert!(pt.same_language(&brazil) && !pt.same_language(&Language::english()));
        assert_eq!(brazil.name(), "português");
        assert!(NAMES.is_sorted());
    }

    /// A parsed tag round-trips through its text.
    #[test]
    fn fuzz_language() {
        crate::fuzz::run("language", |bytes| {
            if let Ok(language) = String::from_utf8_lossy(bytes).parse::<Language>() {
                assert_eq!(language.to_string().parse().as_ref(), Ok(&language));
            }
        });
    }
}
