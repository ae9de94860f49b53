//! Stream keys: `NAME?token=TOKEN`.

use crate::media::{Secret, StreamName};

/// The only application name for publishers: `rtmp://host/live`.
pub(super) const APP: &str = "live";

/// The correct address format, for error messages.
pub(super) const USAGE: &str = "publish to rtmp://HOST/live with the stream key NAME?token=TOKEN";

/// Parses a stream key. The token may be percent-encoded, and must be if it contains `&`; the gate
/// accepts both forms.
///
/// # Errors
/// The reason, as text. It does not contain the key, which is secret.
pub(super) fn parse(key: &str) -> Result<(StreamName, Option<Secret>), String> {
    let (name, query) = key.split_once('?').unwrap_or((key, ""));
    if name.is_empty() {
        return Err(format!("the stream key is empty; {USAGE}"));
    }
    let name = name.parse::<StreamName>().map_err(|e| format!("{e}; {USAGE}"))?;
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token="));
    Ok((name, token.filter(|t| !t.is_empty()).map(Secret::new)))
}

/// The stream that an invalid key probably refers to: a guess for the report to the owner of that
/// stream, and not to be returned to a client.
pub(super) fn stream_of(key: &str) -> Option<StreamName> {
    StreamName::leading(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tokens() {
        let check = |key: &str, name: &str, token: Option<&str>| {
            let (n, t) = parse(key).expect(key);
            assert_eq!((n.as_str(), t.as_ref().map(Secret::expose)), (name, token), "{key}");
        };
        check("studio-1", "studio-1", None);
        check("studio-1?token=s3cret", "studio-1", Some("s3cret"));
        check("studio-1?a=b&token=a+b%2Fc%26", "studio-1", Some("a+b%2Fc%26"));
        check("studio-1?token=", "studio-1", None);
        for bad in ["", "?token=x", "../etc", "a/b"] {
            let message = parse(bad).expect_err(bad);
            assert!(message.contains(USAGE), "{message}");
        }
        let message = parse("studio-1&token=hunter2").expect_err("`&` for `?`");
        assert!(!message.contains("hunter2"), "{message}");
        let about = stream_of("studio-1&token=hunter2");
        assert_eq!(about.as_ref().map(StreamName::as_str), Some("studio-1"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(key: String) {
            let _ = parse(&key);
        }
    }
}
