//! Changes to the ICE of a session after the answer: trickled candidates and ICE restarts, by PATCH
//! (RFC 9725 section 4.3).

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::sdp_body::{bad_sdp, body_text};
use super::{Code, Error};
use crate::webrtc::sdp::Fragment;
use crate::webrtc::{Generation, Session};

const KIND: &str = "application/trickle-ice-sdpfrag";

/// The kinds of PATCH.
#[derive(Debug, PartialEq, Eq)]
enum Wish<'a> {
    /// Candidates for the current ICE generation.
    Trickle,
    /// A new generation with the peer's new user name fragment and password.
    Restart(&'a str, &'a str),
}

/// Handles a PATCH from the owner of a session.
pub(super) fn patch(
    session: &Session,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Error> {
    let text = body_text(headers, body, KIND)?;
    let tag = headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok());
    let fragment = Fragment::parse(&text).map_err(bad_sdp)?;
    // Held to the end, so that concurrent restarts are ordered.
    let mut generation = session.generation();
    let wish = wish(tag, &generation, &fragment)?;
    let Some(connection) = session.connection() else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    match wish {
        Wish::Trickle => {
            fragment.candidates.iter().for_each(|c| connection.add_candidate(c));
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Wish::Restart(ufrag, password) => {
            let answer = connection
                .restart_ice((ufrag, password), &fragment.candidates)
                .map_err(|e| Error::internal("restarting ICE", &e))?;
            *generation = Generation::new(ufrag);
            tracing::info!(stream = %session.stream, protocol = session.protocol.as_str(), "ICE restarts");
            let headers = [(header::CONTENT_TYPE, KIND), (header::ETAG, generation.etag.as_str())];
            Ok((StatusCode::OK, headers, answer).into_response())
        }
    }
}

/// The requested change, from `If-Match` and the credentials of the fragment.
fn wish<'a>(
    tag: Option<&str>,
    now: &Generation,
    fragment: &'a Fragment,
) -> Result<Wish<'a>, Error> {
    let another = fragment.ufrag.as_deref().filter(|ufrag| *ufrag != now.ufrag);
    match (tag, another) {
        (None, _) => {
            let message = "If-Match is missing";
            let hint = "send the ETag of the last answer as If-Match, or `*` to restart ICE";
            Err(Error::new(Code::PreconditionRequired, message, hint))
        }
        (Some("*"), Some(ufrag)) => {
            // Minimum lengths of RFC 8839 section 5.4.
            let password = fragment.password.as_deref().filter(|p| p.len() >= 22);
            let password = password.filter(|_| ufrag.len() >= 4).ok_or_else(|| {
                let message = "an ICE restart needs a new a=ice-ufrag and a=ice-pwd";
                Error::new(Code::BadRequest, message, "send at least 4 and 22 characters of them")
            })?;
            Ok(Wish::Restart(ufrag, password))
        }
        (Some(tag), _) if tag != "*" && tag != now.etag => {
            let message = "If-Match does not name the session's ICE generation";
            let hint = "use the ETag of the last answer";
            Err(Error::new(Code::PreconditionFailed, message, hint))
        }
        (Some(_), Some(_)) => {
            let message = "the candidates are of another ICE generation";
            let hint = "send `If-Match: *` to restart ICE, or this generation's a=ice-ufrag";
            Err(Error::new(Code::Invalid, message, hint))
        }
        (Some(_), None) => Ok(Wish::Trickle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_and_credentials_say_what_is_wanted() {
        let now = Generation { etag: "\"now\"".into(), ufrag: "abcd".into() };
        let check = |tag: Option<&str>, text: &str, expect: Result<Wish<'_>, u16>| {
            let fragment = Fragment::parse(text).expect("valid");
            let found = wish(tag, &now, &fragment);
            let found = found.map_err(|e| e.into_response().status().as_u16());
            assert_eq!(found, expect, "If-Match {tag:?} with `{text}`");
        };
        let password = "0123456789012345678901";
        let same = format!("a=ice-ufrag:abcd\r\na=ice-pwd:{password}");
        let new = format!("a=ice-ufrag:efgh\r\na=ice-pwd:{password}");
        check(Some("\"now\""), "", Ok(Wish::Trickle));
        check(Some("\"now\""), &same, Ok(Wish::Trickle));
        check(Some("*"), &same, Ok(Wish::Trickle));
        check(Some("*"), &new, Ok(Wish::Restart("efgh", password)));
        check(Some("\"now\""), &new, Err(422));
        check(Some("\"old\""), &same, Err(412));
        check(Some("\"old\""), &new, Err(412));
        check(None, &new, Err(428));
        check(Some("*"), "a=ice-ufrag:efgh", Err(400));
        check(Some("*"), "a=ice-ufrag:efgh\r\na=ice-pwd:short", Err(400));
        check(Some("*"), &new.replace("efgh", "e"), Err(400));
    }
}
