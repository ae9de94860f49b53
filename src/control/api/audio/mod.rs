//! `/v1/audio/transcriptions`, `/v1/audio/translations` and `/v1/models`: transcription of files,
//! compatible with OpenAI's API and its clients.

mod form;
mod hear;
mod list;
mod output;
#[cfg(test)]
pub(super) mod tests;

use std::sync::LazyLock;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use utoipa_axum::router::UtoipaMethodRouterExt;
use utoipa_axum::routes;

use super::extract::Form as Sent;
use super::route_table::RouteTable;
use super::{ApiState, Code, Error, Failures};
use form::{FILE_BYTES_MAX, Form, Upload};
use hear::Work;
use output::{Format, Task, Verbose};

/// Maximum number of concurrent transcriptions; further clients must retry.
const CONCURRENT_FILES_MAX: usize = 2;

static PLACES: LazyLock<std::sync::Arc<Semaphore>> =
    LazyLock::new(|| std::sync::Arc::new(Semaphore::new(CONCURRENT_FILES_MAX)));

/// Adds the routes.
pub(super) fn add(table: RouteTable<'_, ApiState>) -> RouteTable<'_, ApiState> {
    // Allowance for the form fields around the file.
    let limit = || DefaultBodyLimit::max(FILE_BYTES_MAX + (64 << 10));
    table
        .operate(routes!(transcribe_audio).layer(limit()))
        .operate(routes!(translate_audio).layer(limit()))
        .view(routes!(list::list_models))
}

/// Transcribes an audio or video file of any supported format.
///
/// The bearer token is the admin's. With `stream` the text arrives during transcription as
/// server-sent events (`transcript.text.delta`, `transcript.text.done`).
#[utoipa::path(post, path = "/v1/audio/transcriptions", tag = "speech",
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses((status = 200, body = Verbose), Failures))]
pub(super) async fn transcribe_audio(
    State(state): State<ApiState>,
    form: Result<Sent, Error>,
) -> Result<Response, Refused> {
    serve(&state, form, Task::Transcribe).await
}

/// Transcribes a file and translates the text to English.
#[utoipa::path(post, path = "/v1/audio/translations", tag = "speech",
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses((status = 200, body = Verbose), Failures))]
pub(super) async fn translate_audio(
    State(state): State<ApiState>,
    form: Result<Sent, Error>,
) -> Result<Response, Refused> {
    serve(&state, form, Task::Translate).await
}

async fn serve(
    state: &ApiState,
    form: Result<Sent, Error>,
    task: Task,
) -> Result<Response, Refused> {
    let Sent(form) = form?;
    let place = std::sync::Arc::clone(&PLACES).try_acquire_owned().map_err(|_| {
        let message = format!("{CONCURRENT_FILES_MAX} files are being heard, the limit");
        Error::new(Code::LimitReached, message, "try again in a moment").retry_after(5)
    })?;
    let form = Form::read(form).await?;
    let (format, stream) = (form.format, form.stream);
    let work = Work::start(state, form, task, place)?;
    if stream {
        return Ok(work.events().into_response());
    }
    let heard = work.finish().await?;
    Ok(match format {
        Format::Json => axum::Json(serde_json::json!({ "text": heard.text() })).into_response(),
        Format::VerboseJson => axum::Json(heard.verbose(task)).into_response(),
        Format::Text => (plain("text/plain"), heard.text() + "\n").into_response(),
        Format::Srt => (plain("application/x-subrip"), heard.srt()).into_response(),
        Format::Vtt => (plain("text/vtt"), heard.vtt()).into_response(),
    })
}

fn plain(kind: &str) -> [(axum::http::HeaderName, String); 1] {
    [(axum::http::header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))]
}

/// An error that clients of OpenAI's API understand too: our own format, and theirs in `error`.
pub(super) struct Refused(Error);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (code, problem) = (self.0.code(), self.0.problem());
        let kind =
            if code.status().is_server_error() { "server_error" } else { "invalid_request_error" };
        let message = format!("{}. {}.", problem.message, problem.hint);
        let theirs = serde_json::json!({
            "message": message, "type": kind, "param": null, "code": problem.code });
        let body = serde_json::json!({
            "code": problem.code, "message": problem.message, "hint": problem.hint,
            "error": theirs });
        let mut response = self.0.into_response();
        let text = body.to_string();
        response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
        *response.body_mut() = axum::body::Body::from(text);
        response
    }
}
