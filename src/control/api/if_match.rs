//! The state of a stream that a change refers to: `ETag` and `If-Match`, RFC 9110 §8.8.3 and
//! §13.1.1.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use sha2::{Digest, Sha256};

use super::{Code, Error};
use crate::runtime::StreamSpec;

/// The `ETag` header of an answer.
pub(super) type Tag = [(HeaderName, String); 1];

/// Bytes of the hash in a tag: long enough to rule out collisions between states of one stream.
const TAG_BYTES: usize = 12;

/// The tag of the wanted state of a stream. The running state does not affect it.
pub(super) fn tag(spec: &StreamSpec) -> Tag {
    [(header::ETAG, text(spec))]
}

fn text(spec: &StreamSpec) -> String {
    // Specs are read from JSON, so they always serialise.
    let json = serde_json::to_vec(spec).unwrap_or_default();
    let hash = Sha256::digest(json);
    let digits: String = hash.iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// The states from which a change may be made: any, or those of the `If-Match` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, or `*`.
    Any,
    /// The tags as sent.
    Tags(Vec<String>),
}

/// The header of requests that change a stream.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes a parameter")]
pub(super) struct IfMatchHeader {
    /// The `ETag` that the change is based on. If the wanted state of the stream has changed since,
    /// the request fails with `precondition_failed`.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

impl IfMatch {
    /// Checks whether a change may be made from this state.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub fn check(&self, spec: &StreamSpec) -> Result<(), Error> {
        match self {
            Self::Tags(tags) if !tags.contains(&text(spec)) => Err(Error::new(
                Code::PreconditionFailed,
                format!("stream `{}` has changed since it was read", spec.name),
                "read it again and send its ETag as If-Match, or leave If-Match out",
            )),
            _ => Ok(()),
        }
    }

    /// A list of quoted tags, or `*`. Weak tags are accepted but never match.
    fn read(header: &str) -> Option<Self> {
        if header.trim() == "*" {
            return Some(Self::Any);
        }
        let tags: Vec<String> = header.split(',').map(|tag| tag.trim().to_owned()).collect();
        let quoted = |tag: &String| {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"')
        };
        tags.iter().all(quoted).then_some(Self::Tags(tags))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut tags = Vec::new();
        for header in parts.headers.get_all(header::IF_MATCH) {
            match header.to_str().ok().and_then(Self::read) {
                Some(Self::Tags(more)) => tags.extend(more),
                Some(Self::Any) => return Ok(Self::Any),
                None => {
                    let message = "`If-Match` is not a list of quoted tags";
                    let hint = "send the `ETag` of an answer as it came, quotes included";
                    return Err(Error::new(Code::BadRequest, message, hint));
                }
            }
        }
        Ok(if tags.is_empty() { Self::Any } else { Self::Tags(tags) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_from_the_states_that_are_named() {
        let mut spec = StreamSpec::new("a".parse().expect("a name"));
        let before = text(&spec);
        let check = |header: &str, spec: &StreamSpec, expect: Option<bool>| {
            let found = IfMatch::read(header).map(|if_match| if_match.check(spec).is_ok());
            assert_eq!(found, expect, "{header}");
        };
        check(&before, &spec, Some(true));
        check(&format!("\"other\", {before}"), &spec, Some(true));
        check(&format!("W/{before}"), &spec, Some(false));
        check("*", &spec, Some(true));
        check(before.trim_matches('"'), &spec, None);
        check("", &spec, None);
        spec.linger_s += 1;
        check(&before, &spec, Some(false));
        assert_ne!(text(&spec), before);
    }
}
