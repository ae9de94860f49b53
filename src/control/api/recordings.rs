//! Recordings: list, view, download, delete.

use std::io::{self, SeekFrom};

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::extract::{Params, Query};
use super::route_table::RouteTable;
use super::{Code, Error, Failures};
use crate::egress::record::{Catalogue, CatalogueError, Entry, Format, VoiceWav};
use crate::media::{Language, StreamName};

/// Maximum number of recordings per page.
const PAGE_RECORDINGS_MAX: usize = 500;

/// Adds the routes under `/api/v1/recordings`.
pub(super) fn add<S>(table: RouteTable<'_, S>) -> RouteTable<'_, S>
where
    S: Clone + Send + Sync + 'static,
    Catalogue: FromRef<S>,
{
    table
        .view(routes!(list_recordings))
        .view(routes!(get_recording))
        .operate(routes!(delete_recording))
        .view(routes!(download_recording))
        .view(routes!(download_recording_wav))
        .view(routes!(get_recording_thumbnail))
        .view(routes!(download_recording_captions))
}

/// Parameters of a listing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those of this stream.
    stream: Option<String>,
    /// Number of newest recordings to skip.
    #[serde(default)]
    offset: usize,
    /// Maximum number to return, 1-500.
    #[serde(default = "page_default")]
    limit: usize,
}

fn page_default() -> usize {
    50
}

/// One page of recordings.
#[derive(Debug, Serialize, ToSchema)]
struct Page {
    /// Recordings, newest first.
    items: Vec<Entry>,
    /// Total number of recordings.
    total: usize,
}

/// List recordings, newest first.
#[utoipa::path(
    get, path = "/api/v1/recordings", tag = "recordings", params(ListParams),
    responses((status = 200, body = Page), Failures)
)]
async fn list_recordings(
    State(catalogue): State<Catalogue>,
    Query(params): Query<ListParams>,
) -> Result<Json<Page>, Error> {
    let stream = params.stream.as_deref().map(name).transpose()?;
    let limit = params.limit.clamp(1, PAGE_RECORDINGS_MAX);
    let found = blocking(move || catalogue.list(stream.as_ref(), params.offset, limit)).await?;
    Ok(Json(Page { items: found.0, total: found.1 }))
}

/// One recording.
#[utoipa::path(
    get, path = "/api/v1/recordings/{stream}/{id}", tag = "recordings",
    params(("stream" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = Entry), Failures)
)]
async fn get_recording(
    State(catalogue): State<Catalogue>,
    Params((stream, id)): Params<(String, String)>,
) -> Result<Json<Entry>, Error> {
    let stream = name(&stream)?;
    Ok(Json(blocking(move || catalogue.get(&stream, &id)).await?))
}

/// Parameters of a deletion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeleteParams {
    /// Delete it even while it is being written.
    #[serde(default)]
    force: bool,
}

/// Delete a recording.
#[utoipa::path(
    delete, path = "/api/v1/recordings/{stream}/{id}", tag = "recordings",
    params(("stream" = String, Path), ("id" = String, Path), DeleteParams),
    responses((status = 204, description = "It is gone."), Failures)
)]
async fn delete_recording(
    State(catalogue): State<Catalogue>,
    Params((stream, id)): Params<(String, String)>,
    Query(params): Query<DeleteParams>,
) -> Result<StatusCode, Error> {
    let stream = name(&stream)?;
    blocking(move || catalogue.delete(&stream, &id, params.force)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Download a recording, or a byte range of it; also while it is being written.
#[utoipa::path(
    get, path = "/api/v1/recordings/{stream}/{id}/file", tag = "recordings",
    params(("stream" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, description = "The whole file as it is now: `video/mp4`, or `audio/x-aic` of a voice.",
            content_type = "video/mp4"),
        (status = 206, description = "The range asked for.", content_type = "video/mp4"),
        Failures
    )
)]
async fn download_recording(
    State(catalogue): State<Catalogue>,
    Params((stream, id)): Params<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let stream = name(&stream)?;
    let (of, named) = (stream.clone(), id.clone());
    let path = blocking(move || catalogue.path(&of, &named)).await?;
    let disk = |error| CatalogueError::Disk { path: path.clone(), error };
    let mut file = tokio::fs::File::open(&path).await.map_err(disk)?;
    // A recording may grow: exactly the promised length is sent.
    let length = file.metadata().await.map_err(disk)?.len();
    let asked = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let range = asked.map_or(Ok(None), |text| range(text, length))?;
    let (first, count) = range.unwrap_or((0, length));
    file.seek(SeekFrom::Start(first)).await.map_err(disk)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(count), 64 << 10));
    let format = path.extension().unwrap_or_default().to_string_lossy();
    let media_type = Format::of(&path).unwrap_or_default().media_type();
    let served = Served { name: format!("{stream}_{id}.{format}"), media_type, length };
    Ok(served.response(body, range))
}

/// A file of which all or a range is sent.
struct Served {
    name: String,
    media_type: &'static str,
    /// Bytes of all of it.
    length: u64,
}

impl Served {
    fn response(self, body: Body, range: Option<(u64, u64)>) -> Response {
        let (first, count) = range.unwrap_or((0, self.length));
        let mut response = body.into_response();
        let mut set = |name, value: String| {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        };
        set(header::CONTENT_TYPE, self.media_type.into());
        set(header::CONTENT_LENGTH, count.to_string());
        set(header::ACCEPT_RANGES, "bytes".into());
        set(header::CACHE_CONTROL, "private, no-cache".into());
        set(header::CONTENT_DISPOSITION, format!("inline; filename=\"{}\"", self.name));
        if range.is_some() {
            let last = first + count.saturating_sub(1);
            set(header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", self.length));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

/// A voice (`format` is `aic`) as WAV, or a byte range of it, decoded while it is sent.
#[utoipa::path(
    get, path = "/api/v1/recordings/{stream}/{id}/wav", tag = "recordings",
    params(("stream" = String, Path), ("id" = String, Path)),
    responses(
        (status = 200, description = "16 kHz, mono, 16 bits, as long as it is now.", content_type = "audio/wav"),
        (status = 206, description = "The range asked for.", content_type = "audio/wav"),
        Failures
    )
)]
async fn download_recording_wav(
    State(catalogue): State<Catalogue>,
    Params((stream, id)): Params<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let stream = name(&stream)?;
    let name = format!("{stream}_{id}.wav");
    let open = catalogue.clone();
    let wav = blocking(move || open.wav(&stream, &id)).await?;
    let length = wav.bytes();
    let asked = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let range = asked.map_or(Ok(None), |text| range(text, length))?;
    let (first, count) = range.unwrap_or((0, length));
    let parts = futures::stream::try_unfold((wav, Some(first), count), move |(wav, from, left)| {
        let catalogue = catalogue.clone();
        async move {
            // A slow reader holds no turn and no thread.
            let _turn = catalogue.decoding_turn().await;
            let part = move || wav_part(wav, from, left);
            tokio::task::spawn_blocking(part).await.map_err(io::Error::other)?
        }
    });
    let body = Body::from_stream(parts);
    Ok(Served { name, media_type: "audio/wav", length }.response(body, range))
}

/// What is left of a WAV file: the file, where to go to first, bytes that are still to be sent.
type WavRest = (VoiceWav, Option<u64>, u64);

/// The next bytes of a WAV file, and the rest.
fn wav_part(
    mut wav: VoiceWav,
    from: Option<u64>,
    left: u64,
) -> io::Result<Option<(Vec<u8>, WavRest)>> {
    if left == 0 {
        return Ok(None);
    }
    let next = match from {
        Some(byte) => Some(wav.seek(byte)?),
        None => wav.next_bytes()?,
    };
    Ok(next.map(|mut bytes| {
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - bytes.len() as u64;
        (bytes, (wav, None, left))
    }))
}

/// First byte and length of a `Range` header (RFC 9110, 14.2). `None` for headers that a server may
/// ignore: other units, several ranges, invalid syntax.
fn range(text: &str, length: u64) -> Result<Option<(u64, u64)>, Error> {
    let parsed = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| (!text.is_empty()).then(|| text.parse::<u64>()).transpose();
        Some((number(first.trim()).ok()?, number(last.trim()).ok()?))
    };
    let (first, last) = match parsed() {
        Some((Some(first), Some(last))) if last < first => return Ok(None),
        Some((Some(first), last)) => {
            (first, last.unwrap_or(u64::MAX).min(length.saturating_sub(1)))
        }
        Some((None, Some(count))) => (length.saturating_sub(count), length.saturating_sub(1)),
        _ => return Ok(None),
    };
    if first >= length || text == "bytes=-0" {
        return Err(Error::new(
            Code::RangeNotSatisfiable,
            format!("the range begins after the end: the file has {length} bytes"),
            "ask for a range within the file",
        ));
    }
    Ok(Some((first, last - first + 1)))
}

/// The first picture of a recording as JPEG.
#[utoipa::path(
    get, path = "/api/v1/recordings/{stream}/{id}/thumbnail", tag = "recordings",
    params(("stream" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "A JPEG, 320 pixels wide.", content_type = "image/jpeg"), Failures)
)]
async fn get_recording_thumbnail(
    State(catalogue): State<Catalogue>,
    Params((stream, id)): Params<(String, String)>,
) -> Result<Response, Error> {
    let picture = catalogue.thumbnail(&name(&stream)?, &id).await?;
    let headers =
        [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=3600")];
    Ok((headers, picture).into_response())
}

/// The captions of a recording in their current state.
#[utoipa::path(
    get, path = "/api/v1/recordings/{stream}/{id}/captions/{file}", tag = "recordings",
    params(
        ("stream" = String, Path), ("id" = String, Path),
        ("file" = String, Path, description = "Language and form: `en.vtt`, `en.srt` or `en.json`.")
    ),
    responses((status = 200, description = "The file.", content_type = "text/vtt"), Failures)
)]
async fn download_recording_captions(
    State(catalogue): State<Catalogue>,
    Params((stream, id, file)): Params<(String, String, String)>,
) -> Result<Response, Error> {
    let stream = name(&stream)?;
    let unknown = || {
        let hint = "ask for a language and a form, such as en.vtt, en.srt or en.json";
        Error::new(Code::NotFound, "there are no captions of that name", hint)
    };
    let (language, form) = file.rsplit_once('.').ok_or_else(unknown)?;
    let language: Language = language.parse().map_err(|_| unknown())?;
    let find = {
        let (stream, id, language) = (stream.clone(), id.clone(), language.clone());
        let form = form.to_owned();
        move || catalogue.captions_path(&stream, &id, &language, &form)
    };
    let path = blocking(find).await?;
    let text = tokio::fs::read(&path).await;
    let text = text.map_err(|error| CatalogueError::Disk { path, error })?;
    let content_type = match form {
        "vtt" => "text/vtt; charset=utf-8",
        "srt" => "application/x-subrip; charset=utf-8",
        _ => "application/json",
    };
    let name = format!("inline; filename=\"{stream}_{id}.{language}.{form}\"");
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, text).into_response())
}

fn name(text: &str) -> Result<StreamName, Error> {
    text.parse().map_err(|e: crate::media::NameError| {
        Error::new(Code::UnknownStream, e.to_string(), "GET /api/v1/recordings lists what there is")
    })
}

/// Reads folders on threads that may block.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, CatalogueError> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => Ok(result?),
        Err(panic) => Err(Error::internal("reading recordings", &panic)),
    }
}

impl From<CatalogueError> for Error {
    fn from(error: CatalogueError) -> Self {
        let (code, hint) = match &error {
            CatalogueError::Unknown(..) => {
                (Code::UnknownRecording, "GET /api/v1/recordings lists what there is")
            }
            CatalogueError::NoCaptions(..) => {
                (Code::NotFound, "`captions` of the recording lists its languages")
            }
            CatalogueError::NoVoice(..) => {
                (Code::NotFound, "only recordings with the format `aic` are decoded here")
            }
            CatalogueError::Writing(..) => {
                (Code::RecordingOpen, "stop the output first, or delete with ?force=true")
            }
            CatalogueError::NoPicture(..) => {
                (Code::NoPicture, "recordings of sound alone have none")
            }
            CatalogueError::Disk { .. } => return Self::internal("reading recordings", &error),
        };
        Self::new(code, error.to_string(), hint)
    }
}

#[cfg(test)]
mod tests;
