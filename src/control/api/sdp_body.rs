//! Bodies with SDP or fragments of it.

use axum::http::{HeaderMap, header};

use super::{Code, Error};
use crate::webrtc::sdp;

/// The text of a body of the `wanted` media type.
pub(super) fn body_text(headers: &HeaderMap, body: &[u8], wanted: &str) -> Result<String, Error> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case(wanted) {
        return Err(Error::new(
            Code::UnsupportedMediaType,
            format!("the body must be {wanted}"),
            format!("set `Content-Type: {wanted}`"),
        ));
    }
    String::from_utf8(body.to_vec()).map_err(|_| {
        let message = "the body is not UTF-8";
        Error::new(Code::BadRequest, message, "send SDP text")
    })
}

/// The API error for SDP that cannot be parsed.
pub(super) fn bad_sdp(invalid: sdp::Invalid) -> Error {
    let hint = "send an SDP offer with ICE, DTLS fingerprint and one BUNDLE group";
    Error::new(Code::BadRequest, invalid.to_string(), hint)
}
