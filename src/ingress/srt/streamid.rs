//! Parses the stream id of a caller.
//!
//! Two notations, both in use:
//!
//! - The SRT access control guidelines: `#!::r=studio-1,m=publish,s=secret`. `r` is the stream, `m`
//!   is `publish` or `request` (play; the default if `m` is missing). The credential is in `s` (the
//!   guidelines' session id "used just for verification") or, for encoders that use other keys,
//!   `token` or `p`. `u`, `h`, `t=stream`, unknown keys, and spaces around keys and values are
//!   ignored.
//! - Plain: `publish:studio-1:secret`, `read:studio-1:secret` (`play` and `request` mean the same),
//!   with or without the secret, which may contain colons. A bare `studio-1` publishes, because
//!   encoders with a single field for the name send that.
//!
//! ffmpeg, OBS and srt-live-transmit send the streamid of a URL undecoded. Users who know that `#`
//! begins a fragment write `%23!::`; a streamid that begins so is percent-decoded as a whole.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::flow::Action;
use crate::media::{NameError, Secret, StreamName};

/// The request of a caller.
#[derive(Clone, Debug)]
pub struct StreamId {
    /// Publish or play.
    pub action: Action,
    /// The requested stream.
    pub stream: StreamName,
    /// The credential, if any.
    pub credential: Option<Secret>,
}

/// Why a stream id is invalid. Contains no part of it, because it may contain a misplaced
/// credential.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// It is missing, or the peer is too old to send one.
    #[error("there is no streamid: set it to publish:NAME:TOKEN or #!::r=NAME,m=publish,s=TOKEN")]
    Missing,
    /// The standard notation without `r`.
    #[error("the streamid names no stream: add r=NAME")]
    NoResource,
    /// A key occurs twice with different values.
    #[error("the streamid has `{0}` twice")]
    Twice(&'static str),
    /// The mode is not supported.
    #[error("the streamid asks for a mode that does not exist: use publish or request")]
    Mode,
    /// The type is not a stream, such as a file.
    #[error("the streamid asks for another type than `stream`, the only one that is served")]
    Type,
    /// The nested form `#!:{…}`.
    #[error("the nested form of streamid is not supported: use #!::r=NAME,m=publish,s=TOKEN")]
    Nested,
    /// The stream name is invalid.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Parses a stream id.
///
/// # Errors
/// What is wrong with it, and the correct form.
pub fn parse(text: &str) -> Result<StreamId, StreamIdError> {
    let text = &*decoded(text);
    match text.strip_prefix("#!:") {
        Some(rest) => standard(rest.strip_prefix(':').ok_or(StreamIdError::Nested)?),
        None if text.is_empty() => Err(StreamIdError::Missing),
        None => plain(text),
    }
}

/// The stream that an invalid stream id probably refers to: a guess for the report to the owner of
/// that stream, and not to be returned to a caller.
pub fn stream_of(text: &str) -> Option<StreamName> {
    let text = &*decoded(text);
    let name = match text.strip_prefix("#!") {
        Some(rest) => pairs(rest.trim_start_matches([':', '{'])).find(|(key, _)| *key == "r")?.1,
        None => text.split(':').nth(1).unwrap_or(text).trim(),
    };
    StreamName::leading(name)
}

/// Percent-decodes a stream id that begins with an encoded `#`.
fn decoded(text: &str) -> Cow<'_, str> {
    match text.starts_with("%23") {
        true => percent_decode_str(text).decode_utf8_lossy(),
        false => text.into(),
    }
}

/// The keys and values of the standard notation, trimmed.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.trim(), value.trim())
    })
}

fn standard(text: &str) -> Result<StreamId, StreamIdError> {
    let (mut resource, mut mode, mut credential) = (None, None, None);
    for (key, value) in pairs(text) {
        let (slot, name) = match key {
            "r" => (&mut resource, "r"),
            "m" => (&mut mode, "m"),
            "s" | "token" | "p" => (&mut credential, "s"),
            "t" if !matches!(value, "stream" | "") => return Err(StreamIdError::Type),
            _ => continue,
        };
        if slot.is_some_and(|before| before != value) {
            return Err(StreamIdError::Twice(name));
        }
        *slot = Some(value);
    }
    let action = match mode {
        Some("publish") => Action::Publish,
        None | Some("request" | "") => Action::Play,
        Some(_) => return Err(StreamIdError::Mode),
    };
    let stream = resource.ok_or(StreamIdError::NoResource)?.parse()?;
    Ok(StreamId { action, stream, credential: secret(credential) })
}

fn plain(text: &str) -> Result<StreamId, StreamIdError> {
    let mut parts = text.splitn(3, ':');
    let (first, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let Some(name) = second else {
        return Ok(StreamId { action: Action::Publish, stream: first.parse()?, credential: None });
    };
    let action = match first {
        "publish" => Action::Publish,
        "read" | "play" | "request" => Action::Play,
        _ => return Err(StreamIdError::Mode),
    };
    Ok(StreamId { action, stream: name.parse()?, credential: secret(third) })
}

fn secret(text: Option<&str>) -> Option<Secret> {
    text.filter(|t| !t.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> String {
        match parse(text) {
            Ok(id) => {
                let secret = id.credential.as_ref().map_or("-", Secret::expose);
                format!("{:?} {} {secret}", id.action, id.stream)
            }
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn both_notations_are_read() {
        let check = |text: &str, expect: &str| assert_eq!(shape(text), expect, "{text}");
        check("#!::r=studio-1,m=publish,s=key", "Publish studio-1 key");
        check("#!::u=haivision,r=studio-1,h=box,t=stream,m=request", "Play studio-1 -");
        check("#!::m=publish,token=a:b=c,r=x", "Publish x a:b=c");
        check("#!::r=x,p=key,x-y=1", "Play x key");
        check("#!::r=x, m=publish , s = key", "Publish x key");
        check("%23!::r=x,m=publish,s=k%2Fy", "Publish x k/y");
        check("%23%21%3A%3Ar%3Dx,m%3Dpublish,s%3Dkey", "Publish x key");
        check("publish:x:change%2Dme", "Publish x change%2Dme");
        check("publish:studio-1:se:cr,et", "Publish studio-1 se:cr,et");
        check("publish:studio-1", "Publish studio-1 -");
        check("publish:studio-1:", "Publish studio-1 -");
        check("read:studio-1:k", "Play studio-1 k");
        check("play:studio-1", "Play studio-1 -");
        check("studio-1", "Publish studio-1 -");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let check = |text: &str, expect: &str| {
            let said = shape(text);
            assert!(said.contains(expect), "{text}: {said}");
            assert!(!said.contains("hunter2"), "{text}: {said}");
        };
        check("", "there is no streamid");
        check("#!:{r=x}", "nested form");
        check("#!::m=publish,s=hunter2", "names no stream");
        check("#!::r=x,m=hunter2,s=key", "a mode that does not exist");
        check("#!::r=x,t=hunter2,m=publish", "another type than `stream`");
        check("#!::r=x,r=y", "`r` twice");
        check("#!::r=x,s=hunter2,token=hunter3", "`s` twice");
        check("#!::r=live/x,m=publish,s=hunter2", "is not a stream name");
        check("write:x:hunter2", "a mode that does not exist");
        check("hunter2:x:publish", "a mode that does not exist");
        check("x?token=hunter2", "is not a stream name");
        check("%23!::r=x?hunter2", "is not a stream name");
        check("publish:../x:hunter2", "is not a stream name");
        check("publish::hunter2", "is not a stream name");
    }

    #[test]
    fn whom_a_broken_stream_id_is_about_is_guessed() {
        let check = |text: &str, expect: Option<&str>| {
            let found = stream_of(text);
            assert_eq!(found.as_ref().map(StreamName::as_str), expect, "{text}");
        };
        check("studio-1?token=hunter2", Some("studio-1"));
        check("publish:studio-1?token=hunter2", Some("studio-1"));
        check("#!::m=up, r=studio-1", Some("studio-1"));
        check("#!:{r=studio-1}", Some("studio-1"));
        check("#!::m=publish", None);
        check("", None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text: String, tail in "[rmstphu=,:#!{}a-z0-9. ]{0,80}") {
            for text in [text.clone(), format!("#!::{text}"), format!("#!::{tail}"), tail] {
                let _ = stream_of(&text);
                if let Ok(id) = parse(&text) {
                    proptest::prop_assert!(decoded(&text).contains(id.stream.as_str()));
                }
            }
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}", key in "[!-+.-~][^,]{0,58}[!-+.-~]", publish: bool,
        ) {
            let (mode, word) = if publish { ("publish", "publish") } else { ("request", "read") };
            for text in [format!("#!::r={name},m={mode},s={key}"), format!("{word}:{name}:{key}")] {
                let id = parse(&text).expect("valid");
                proptest::prop_assert_eq!(id.stream.as_str(), &name);
                proptest::prop_assert_eq!(id.action == Action::Publish, publish);
                proptest::prop_assert!(id.credential.is_some_and(|c| c.matches(&key)));
            }
        }
    }
}
