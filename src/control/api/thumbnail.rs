//! `/api/v1/streams/{name}/thumbnail.jpg`: a thumbnail of the stream.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::extract::Params;
use super::{ApiState, Code, Error, Failures};
use crate::media::StreamName;

/// A small JPEG of what viewers see, at most a few seconds old.
#[utoipa::path(get, path = "/api/v1/streams/{name}/thumbnail.jpg", tag = "streams",
    params(("name" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), Failures))]
pub(super) async fn get_thumbnail(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<impl IntoResponse, Error> {
    state.supervisor().spec(&name)?;
    let picture = state.supervisor().thumbnail(&name).ok_or_else(|| {
        let message = format!("there is no picture of stream `{name}` yet");
        Error::new(Code::NotLive, message, "publish it; the first picture takes a few seconds")
    })?;
    let headers = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, picture))
}
