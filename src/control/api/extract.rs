//! Extractors for bodies, paths and queries whose errors have our own format. Handlers use these
//! instead of axum's, whose errors are plain text.

use std::error::Error as StdError;

use axum::extract::multipart::Multipart;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Code, Error};
use crate::control::pace::TooSlow;

/// Maximum size of a JSON body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refuse_json(&rejection)),
        }
    }
}

fn refuse_json(rejection: &JsonRejection) -> Error {
    let text = rejection.body_text();
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Error::new(Code::UnsupportedMediaType, text, "send `Content-Type: application/json`")
        }
        JsonRejection::JsonDataError(_) => {
            // The deserialiser has put the path in front: `outputs[0].url: missing field`.
            let message = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
            Error::new(Code::Invalid, message, "/api/v1/openapi.json describes the body")
        }
        JsonRejection::BytesRejection(rejection) => refuse_body(rejection),
        _ => Error::new(Code::BadRequest, text, "send one complete JSON document"),
    }
}

/// A whole raw body, up to the route's limit.
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|rejection| refuse_body(&rejection))
    }
}

fn refuse_body(rejection: &BytesRejection) -> Error {
    broken_body(rejection, rejection.status(), &rejection.body_text())
}

/// Why a body could not be read completely.
pub(super) fn broken_body(
    error: &(dyn StdError + 'static),
    status: StatusCode,
    text: &str,
) -> Error {
    if causes(error).any(|cause| cause.is::<TooSlow>()) {
        let hint = "send the whole body at once, or faster";
        return Error::new(Code::RequestTimeout, "the body came too slowly", hint);
    }
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let message = "the body is larger than this address takes";
        return Error::new(Code::BodyTooLarge, message, "send less");
    }
    Error::new(Code::BadRequest, text, "send the whole body")
}

/// An error and its chain of causes.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// A form with files (`multipart/form-data`).
pub(super) struct Form(pub(super) Multipart);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let form = Multipart::from_request(request, state).await;
        form.map(Self).map_err(|rejection| {
            let hint = "send `Content-Type: multipart/form-data; boundary=…`";
            Error::new(Code::UnsupportedMediaType, rejection.body_text(), hint)
        })
    }
}

/// A WebSocket handshake.
pub(super) struct Upgrade(pub(super) WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let upgrade: Result<_, WebSocketUpgradeRejection> =
            WebSocketUpgrade::from_request_parts(parts, state).await;
        upgrade.map(Self).map_err(|rejection| {
            let hint = "this address is a WebSocket: connect with ws:// or wss:// (RFC 6455)";
            Error::new(Code::BadRequest, rejection.body_text(), hint)
        })
    }
}

/// Path parameters. An invalid one means that the resource does not exist.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        path.map(|Path(params)| Self(params)).map_err(|rejection| {
            let hint = "names are 1-64 of A-Z a-z 0-9 . _ - and start with a letter or a digit";
            Error::new(Code::NotFound, rejection.body_text(), hint)
        })
    }
}

/// Query parameters.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(params)| Self(params)).map_err(|rejection| {
            let hint = "/api/v1/openapi.json describes the parameters";
            Error::new(Code::BadRequest, rejection.body_text(), hint)
        })
    }
}
