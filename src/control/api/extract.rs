//! Bodies and paths, with refusals in our own form.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::{Code, Error};

/// Largest JSON body, in bytes.
pub(super) const BODY_MAX: usize = 64 << 10;

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refuse_body(&rejection)),
        }
    }
}

fn refuse_body(rejection: &JsonRejection) -> Error {
    let text = rejection.body_text();
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Error::new(Code::UnsupportedMediaType, text, "send `Content-Type: application/json`")
        }
        JsonRejection::JsonDataError(_) => {
            // serde has put the path in front: `outputs[0].url: missing field`.
            let message = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
            Error::new(Code::Invalid, message, "/api/v1/openapi.json describes the body")
        }
        _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Error::new(
            Code::BodyTooLarge,
            format!("the body is larger than {} KiB", BODY_MAX >> 10),
            "send less",
        ),
        _ => Error::new(Code::BadRequest, text, "send one complete JSON document"),
    }
}

/// Parameters of the path. One that cannot be is no such resource.
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

/// Parameters behind the question mark.
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
