//! Errors as responses, and as responses of the OpenAPI document.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::control::problem::{Error, Problem};

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.code().status();
        let mut response = (status, Json(self.problem())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The error responses of every operation, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
pub enum Failures {
    /// The request was refused; the body has the reason and advice.
    #[response(status = "4XX")]
    Refused(#[to_schema] Problem),
    /// The appliance failed or has reached a limit.
    #[response(status = "5XX")]
    Failed(#[to_schema] Problem),
}
