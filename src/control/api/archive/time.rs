//! Times in parameters and answers.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::control::problem::{Code, Error};

/// A time of the archive, which is in milliseconds since 1970.
pub(super) fn date(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// RFC 3339 with milliseconds.
pub(super) fn date_text(ms: i64) -> String {
    date(ms).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads a time parameter, in milliseconds since 1970.
pub(super) fn time(field: &str, text: &str) -> Result<i64, Error> {
    let number = text.parse().ok();
    let written = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis());
    number.or_else(written).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let hint = "use RFC 3339 such as 2026-11-24T12:00:00Z, or milliseconds since 1970";
        Error::new(Code::Invalid, format!("{field}: `{}` is no time", shown.escape_debug()), hint)
    })
}
