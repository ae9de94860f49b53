//! What a caller says in its stream id.
//!
//! Two notations, both seen in the field:
//!
//! - The SRT access control guidelines: `#!::r=studio-1,m=publish,s=secret`. `r` is the stream, `m`
//!   is `publish` or `request` (play; what is meant when `m` is missing). The credential goes into
//!   `s` (the guidelines' session id "used just for verification") or, for encoders whose makers
//!   thought of other letters, `token` or `p`. `u`, `h`, `t=stream` and unknown keys are ignored.
//! - Plain: `publish:studio-1:secret`, `read:studio-1:secret` (`play` and `request` mean the same),
//!   with or without the secret; the secret may hold further colons. A bare `studio-1` publishes,
//!   because it is what encoders with a single field for it send.

use crate::flow::Action;
use crate::media::{NameError, Secret, StreamName};

/// What a caller wants.
#[derive(Clone, Debug)]
pub struct StreamId {
    /// To give or to take.
    pub action: Action,
    /// Which stream.
    pub stream: StreamName,
    /// What it shows as a proof that it may.
    pub credential: Option<Secret>,
}

/// Why a stream id is not understood. Never repeats a credential.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// There is none, or the peer is too old to send one.
    #[error("there is no streamid: set it to publish:NAME:TOKEN or #!::r=NAME,m=publish,s=TOKEN")]
    Missing,
    /// The standard notation without a stream.
    #[error("the streamid names no stream: add r=NAME")]
    NoResource,
    /// The same key with two values.
    #[error("the streamid has `{0}` twice")]
    Twice(&'static str),
    /// A mode that does not exist here.
    #[error("the streamid asks for mode `{0}`: use publish or request")]
    Mode(String),
    /// Files and the like.
    #[error("the streamid asks for type `{0}`: only `stream` is served")]
    Type(String),
    /// The nested form `#!:{…}`.
    #[error("the nested form of streamid is not supported: use #!::r=NAME,m=publish,s=TOKEN")]
    Nested,
    /// The stream's name is impossible.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Reads a stream id.
///
/// # Errors
/// What is wrong with it and what to write instead.
pub fn parse(text: &str) -> Result<StreamId, StreamIdError> {
    match text.strip_prefix("#!:") {
        Some(rest) => standard(rest.strip_prefix(':').ok_or(StreamIdError::Nested)?),
        None if text.is_empty() => Err(StreamIdError::Missing),
        None => plain(text),
    }
}

fn standard(pairs: &str) -> Result<StreamId, StreamIdError> {
    let (mut resource, mut mode, mut credential) = (None, None, None);
    for pair in pairs.split(',').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (slot, name) = match key {
            "r" => (&mut resource, "r"),
            "m" => (&mut mode, "m"),
            "s" | "token" | "p" => (&mut credential, "s"),
            "t" if !matches!(value, "stream" | "") => {
                return Err(StreamIdError::Type(shown(value)));
            }
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
        Some(other) => return Err(StreamIdError::Mode(shown(other))),
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
        other => return Err(StreamIdError::Mode(shown(other))),
    };
    Ok(StreamId { action, stream: name.parse()?, credential: secret(third) })
}

fn secret(text: Option<&str>) -> Option<Secret> {
    text.filter(|t| !t.is_empty()).map(Secret::new)
}

/// Enough of a value to recognise it.
fn shown(value: &str) -> String {
    value.chars().take(20).flat_map(char::escape_debug).collect()
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
        check("#!::r=x,m=bidirectional,s=hunter2", "mode `bidirectional`");
        check("#!::r=x,t=file,m=publish", "type `file`");
        check("#!::r=x,r=y", "`r` twice");
        check("#!::r=x,s=hunter2,token=hunter3", "`s` twice");
        check("#!::r=live/x,m=publish,s=hunter2", "is not a stream name");
        check("write:x:hunter2", "mode `write`");
        check("publish:../x:hunter2", "is not a stream name");
        check("publish::hunter2", "is not a stream name");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text: String, tail in "[rmstphu=,:#!{}a-z0-9.]{0,80}") {
            for text in [text.clone(), format!("#!::{text}"), format!("#!::{tail}"), tail] {
                if let Ok(id) = parse(&text) {
                    proptest::prop_assert!(text.contains(id.stream.as_str()));
                }
            }
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}", key in "[^,]{1,60}", publish: bool,
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
