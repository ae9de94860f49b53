//! `ETag` and `If-Match`, RFC 9110 §8.8.3 and §13.1.1: the headers of [`Precondition`].

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};

use super::{Code, Error};
use crate::control::precondition::{Precondition, entity_tag};
use crate::runtime::StreamSpec;

/// The `ETag` header of an answer.
pub(super) type Tag = [(HeaderName, String); 1];

/// The tag of the wanted state of a stream. The running state does not affect it.
pub(super) fn tag(spec: &StreamSpec) -> Tag {
    [(header::ETAG, entity_tag(spec))]
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

/// The `If-Match` header of a request. Without it any state will do.
pub(super) struct IfMatch(pub(super) Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut tags = Vec::new();
        for header in parts.headers.get_all(header::IF_MATCH) {
            match header.to_str().ok().and_then(read) {
                Some(Precondition::Tags(more)) => tags.extend(more),
                Some(Precondition::Any) => return Ok(Self(Precondition::Any)),
                None => {
                    let message = "`If-Match` is not a list of quoted tags";
                    let hint = "send the `ETag` of an answer as it came, quotes included";
                    return Err(Error::new(Code::BadRequest, message, hint));
                }
            }
        }
        Ok(Self(if tags.is_empty() { Precondition::Any } else { Precondition::Tags(tags) }))
    }
}

/// A list of quoted tags, or `*`. Weak tags are accepted but never match.
fn read(header: &str) -> Option<Precondition> {
    if header.trim() == "*" {
        return Some(Precondition::Any);
    }
    let tags: Vec<String> = header.split(',').map(|tag| tag.trim().to_owned()).collect();
    let quoted = |tag: &String| {
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"')
    };
    tags.iter().all(quoted).then_some(Precondition::Tags(tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_from_the_states_that_are_named() {
        let mut spec = StreamSpec::new("a".parse().expect("a name"));
        let before = entity_tag(&spec);
        let check = |header: &str, spec: &StreamSpec, expect: Option<bool>| {
            let found = read(header).map(|precondition| precondition.check(spec).is_ok());
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
        assert_ne!(entity_tag(&spec), before);
    }
}
