//! `/whep/{stream}/{session}/layer`: a viewer chooses its quality by requests.
//!
//! The extension `urn:ietf:params:whep:ext:core:layer` of draft-murillo-whep, section 4.6.2: players
//! that open no data channel `quality` find the address in a `Link` of the answer.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::{Code, Error};
use crate::media::Quality;
use crate::webrtc::{LayerError, Layers, Session};

/// Relation of the link to this resource.
const RELATION: &str = "urn:ietf:params:whep:ext:core:layer";

/// What a viewer asks for. Other fields of the extension name layers within an encoding, which the
/// appliance does not send.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayerRequest {
    /// Name of a quality; without it the viewer's line decides.
    encoding_id: Option<String>,
}

/// The link of a session whose viewer may choose.
pub(super) fn link(session: &Session, location: &str) -> Option<String> {
    session.layers().map(|_| format!("<{location}/layer>; rel=\"{RELATION}\""))
}

/// What is offered, chosen and playing.
pub(super) fn told(session: &Session) -> Result<Response, Error> {
    layers(session).map(|layers| answer(&**layers))
}

/// Chooses a quality; answers as [`told`].
pub(super) fn choose(session: &Session, request: &LayerRequest) -> Result<Response, Error> {
    let layers = layers(session)?;
    let name = request.encoding_id.as_deref().filter(|name| !name.is_empty());
    let quality = name.map_or(Ok(Quality::Auto), str::parse);
    let quality = quality.map_err(|allowed: &str| unknown(format!("`encodingId`: {allowed}")))?;
    layers.choose(quality).map_err(|problem| match problem {
        LayerError::NotOffered(_) => unknown(problem.to_string()),
        LayerError::TooSoon => {
            let hint = "choose at most twice a second";
            Error::new(Code::LimitReached, problem.to_string(), hint).retry_after(1)
        }
    })?;
    Ok(answer(&**layers))
}

fn layers(session: &Session) -> Result<&Arc<dyn Layers>, Error> {
    session.layers().ok_or_else(|| {
        let hint = "a `ladder` on the stream makes qualities that a viewer may change to";
        Error::new(Code::UnknownSession, "this session has one quality", hint)
    })
}

fn unknown(message: String) -> Error {
    Error::new(Code::Invalid, message, "GET this address: it names the qualities")
}

fn answer(layers: &dyn Layers) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, layers.told()).into_response()
}
