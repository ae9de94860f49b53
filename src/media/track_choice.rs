//! Which of several programmes and tracks a stream takes.

use serde::{Deserialize, Serialize};

use super::Language;

/// Which programme and tracks a stream takes of a source that has several: MPEG-TS by SRT (published
/// or pulled), media files, and RTSP servers. Programme and PIDs are of MPEG-TS only. What is left
/// out is the first one that can be taken: programmes in the order of the programme association
/// table, tracks in that of the programme's own table, of the file, or of the server's description.
/// What is not taken is named in the notes of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrackChoice {
    /// Programme number, 1-65535. Nothing is taken while there is no such programme.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub program: Option<u16>,
    /// PID of the video track, 16-8190. No video is taken while it is not in the programme.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 8190)]
    pub video_pid: Option<u16>,
    /// PID of the audio track, 16-8190; wins over `audio_language`. No audio is taken while it is
    /// not in the programme.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 8190)]
    pub audio_pid: Option<u16>,
    /// Language of the audio track, as two or three letters of ISO 639: `de`, `deu` or `ger`. The
    /// first audio track is taken where none has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "deu")]
    pub audio_language: Option<Language>,
}

/// PIDs that may carry tracks (ISO/IEC 13818-1 table 2-3).
const VALID_PID_NUMBERS: std::ops::RangeInclusive<u16> = 0x10..=0x1ffe;

impl TrackChoice {
    /// The first field out of range, and its allowed range.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let wrong = |pid: Option<u16>| pid.is_some_and(|pid| !VALID_PID_NUMBERS.contains(&pid));
        if self.program == Some(0) {
            return Some(("program", "1-65535"));
        }
        let pids = [("video_pid", self.video_pid), ("audio_pid", self.audio_pid)];
        let field = pids.into_iter().find(|(_, pid)| wrong(*pid))?.0;
        Some((field, "16-8190"))
    }
}

/// Codes of ISO 639-1 with those of ISO 639-2 for the same language: terminological, and
/// bibliographic if it differs.
const CODES: [(&str, &str, &str); 46] = [
    ("ar", "ara", ""),
    ("bg", "bul", ""),
    ("ca", "cat", ""),
    ("cs", "ces", "cze"),
    ("cy", "cym", "wel"),
    ("da", "dan", ""),
    ("de", "deu", "ger"),
    ("el", "ell", "gre"),
    ("en", "eng", ""),
    ("es", "spa", ""),
    ("et", "est", ""),
    ("eu", "eus", "baq"),
    ("fa", "fas", "per"),
    ("fi", "fin", ""),
    ("fr", "fra", "fre"),
    ("ga", "gle", ""),
    ("gl", "glg", ""),
    ("he", "heb", ""),
    ("hi", "hin", ""),
    ("hr", "hrv", ""),
    ("hu", "hun", ""),
    ("id", "ind", ""),
    ("is", "isl", "ice"),
    ("it", "ita", ""),
    ("ja", "jpn", ""),
    ("ko", "kor", ""),
    ("lt", "lit", ""),
    ("lv", "lav", ""),
    ("mk", "mkd", "mac"),
    ("nb", "nob", ""),
    ("nl", "nld", "dut"),
    ("nn", "nno", ""),
    ("no", "nor", ""),
    ("pl", "pol", ""),
    ("pt", "por", ""),
    ("ro", "ron", "rum"),
    ("ru", "rus", ""),
    ("sk", "slk", "slo"),
    ("sl", "slv", ""),
    ("sq", "sqi", "alb"),
    ("sr", "srp", ""),
    ("sv", "swe", ""),
    ("tr", "tur", ""),
    ("uk", "ukr", ""),
    ("vi", "vie", ""),
    ("zh", "zho", "chi"),
];

impl Language {
    /// Whether an ISO 639 code names this language: three letters in MPEG-TS, two in most tags.
    pub fn is_coded_as(&self, code: &str) -> bool {
        let codes = CODES.iter().map(|(two, term, other)| [*two, *term, *other]);
        let mut known = codes.filter(|codes| codes.contains(&self.primary()));
        self.primary() == code || (!code.is_empty() && known.any(|codes| codes.contains(&code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_all_its_codes() {
        for (wanted, code, expect) in [
            ("de", "deu", true),
            ("de", "ger", true),
            ("ger", "deu", true),
            ("de-AT", "deu", true),
            ("mul", "mul", true),
            ("de", "eng", false),
            ("en", "", false),
        ] {
            let language: Language = wanted.parse().expect("a language");
            assert_eq!(language.is_coded_as(code), expect, "{wanted} {code}");
        }
        assert!(CODES.is_sorted());
    }

    #[test]
    fn wrong_numbers_are_named() {
        let check = |json: &str, field: Option<&str>| {
            let choice: TrackChoice = serde_json::from_str(json).expect("reads");
            assert_eq!(choice.problem().map(|(field, _)| field), field, "{json}");
        };
        check("{}", None);
        check(r#"{"program":1,"audio_pid":257,"audio_language":"deu"}"#, None);
        check(r#"{"program":0}"#, Some("program"));
        check(r#"{"video_pid":8191}"#, Some("video_pid"));
        check(r#"{"audio_pid":15}"#, Some("audio_pid"));
        assert!(serde_json::from_str::<TrackChoice>(r#"{"language":"de"}"#).is_err());
    }
}
