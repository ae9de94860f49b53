//! The JSON that columns contain. Each format has a version, which every row stores in a column of
//! its own (`spec_version`, `words_version`).
//!
//! An optional field with a default needs no new version. Any other change of the format is one: a
//! new number, and a function here that turns the JSON of the version before into the new one.
//! `format_1.json` has specs of version 1, which every later program reads.

use super::error::Error;
use super::{CueRow, CueWord};
use crate::runtime::StreamSpec;

/// Version of [`write_spec`]: the serde form of [`StreamSpec`].
pub(super) const SPEC_VERSION: i64 = 1;

/// Version of [`write_words`]: `[[word, start, end, confidence], …]`, times in milliseconds after
/// the start of the cue.
pub(super) const WORDS_VERSION: i64 = 1;

/// A stream's spec as JSON.
///
/// # Errors
/// [`Error::Sql`].
pub(super) fn write_spec(spec: &StreamSpec) -> Result<String, Error> {
    serde_json::to_string(spec).map_err(|e| Error::encode("write a stream as JSON", e))
}

/// Reads a stored spec of any known version.
///
/// # Errors
/// The reason, as text for the admin.
pub(super) fn read_spec(version: i64, json: &str) -> Result<StreamSpec, String> {
    match version {
        SPEC_VERSION => serde_json::from_str(json).map_err(|e| e.to_string()),
        _ => Err(format!("its format has version {version}, this program reads {SPEC_VERSION}")),
    }
}

/// The words of a cue as JSON.
///
/// # Errors
/// [`Error::Sql`] if a confidence is not a finite number: JSON has no other numbers.
pub(super) fn write_words(cue: &CueRow) -> Result<String, Error> {
    const DOING: &str = "write the words of a caption as JSON";
    if let Some(word) = cue.words.iter().find(|word| !word.confidence.is_finite()) {
        let problem = format!("the confidence of `{}` is not a number", word.text);
        return Err(Error::encode(DOING, problem));
    }
    let plain = |word: &CueWord| {
        let CueWord { text, start_offset_ms, end_offset_ms, confidence } = word.clone();
        (text, start_offset_ms, end_offset_ms, confidence)
    };
    let words: Vec<_> = cue.words.iter().map(plain).collect();
    serde_json::to_string(&words).map_err(|e| Error::encode(DOING, e))
}

/// Reads the stored words of a cue. Returns none if they cannot be read: the text of the cue counts.
pub(super) fn read_words(version: i64, json: &str) -> Vec<CueWord> {
    if version != WORDS_VERSION {
        return Vec::new();
    }
    let words: Vec<(String, i64, i64, f32)> = serde_json::from_str(json).unwrap_or_default();
    let word = |(text, start_offset_ms, end_offset_ms, confidence)| CueWord {
        text,
        start_offset_ms,
        end_offset_ms,
        confidence,
    };
    words.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Whether `json` has everything that `part` has.
    fn contains(json: &Value, part: &Value) -> bool {
        match (json, part) {
            (Value::Object(all), Value::Object(part)) => part
                .iter()
                .all(|(name, value)| all.get(name).is_some_and(|have| contains(have, value))),
            (Value::Array(all), Value::Array(part)) => {
                all.len() == part.len() && all.iter().zip(part).all(|(a, p)| contains(a, p))
            }
            (json, part) => json == part,
        }
    }

    #[test]
    fn a_spec_of_version_1_is_read_without_loss() {
        let specs: Vec<Value> =
            serde_json::from_str(include_str!("format_1.json")).expect("an array");
        for json in specs {
            let spec = read_spec(1, &json.to_string()).unwrap_or_else(|e| panic!("{json}: {e}"));
            let again = write_spec(&spec).expect("is written");
            assert_eq!(read_spec(SPEC_VERSION, &again).as_ref(), Ok(&spec));
            let again = serde_json::from_str(&again).expect("JSON");
            assert!(contains(&again, &json), "{json} became {again}: this needs a new version");
        }
    }

    #[test]
    fn another_version_is_named() {
        let error = read_spec(2, r#"{"name":"a"}"#).expect_err("unknown");
        assert!(error.contains("version 2"), "{error}");
        assert!(read_spec(1, "{}").is_err());
    }

    #[test]
    fn words_of_version_1_are_read_and_others_are_none() {
        let json = r#"[["And",0,320,0.9],["so",330,500,1.0]]"#;
        let words = read_words(1, json);
        let so = CueWord {
            text: "so".into(),
            start_offset_ms: 330,
            end_offset_ms: 500,
            confidence: 1.0,
        };
        assert_eq!((words.len(), &words[1]), (2, &so));
        assert_eq!(read_words(2, json), []);
        assert_eq!(read_words(1, "{}"), []);
    }
}
