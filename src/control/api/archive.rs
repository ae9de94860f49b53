//! The caption archive: search over all streams, transcripts of one.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Params, Query};
use super::{ApiState, Code, Error, Failures};
use crate::control::store::{self, CueRow, CueWord, Found, QueryError, Search};
use crate::media::{Language, StreamName};

mod time;
mod transcript;

use time::{date, time};

/// Maximum number of hits per page.
const PAGE_HITS_MAX: u32 = 200;

/// Maximum number of cues per transcript: about a day of speech.
const CUES_MAX: u32 = 20_000;

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParams {
    /// Words that a cue must all contain; `"a phrase in this order"`; `begin*` with at least three
    /// letters. Without it, all cues are returned.
    #[serde(default)]
    q: String,
    /// Only cues of this stream.
    stream: Option<String>,
    /// Only cues in this language, in any region.
    language: Option<String>,
    /// Only cues from this time on: RFC 3339 or milliseconds since 1970.
    from: Option<String>,
    /// Only cues before this time.
    to: Option<String>,
    /// `next` of the previous page.
    cursor: Option<i64>,
    /// Maximum number of hits, 1-200.
    #[serde(default = "page_default")]
    limit: u32,
}

fn page_default() -> u32 {
    50
}

/// One page of hits.
#[derive(Serialize, ToSchema)]
pub(super) struct Hits {
    /// Hits, newest first.
    hits: Vec<Hit>,
    /// The `cursor` of the next page; `null` on the last page.
    next: Option<i64>,
}

/// A cue that matches.
#[derive(Serialize, ToSchema)]
struct Hit {
    /// Unique in the archive; later cues have higher ids.
    id: i64,
    /// Name of the stream.
    #[schema(example = "studio-1")]
    stream: String,
    /// Language of the text.
    #[schema(example = "en")]
    language: String,
    /// When the speech began.
    start: DateTime<Utc>,
    /// When the speech ended.
    end: DateTime<Utc>,
    /// When the first matching word was spoken, as precisely as known.
    at: DateTime<Utc>,
    /// The text.
    text: String,
    /// The text as escaped HTML, with the matches in `<mark>`.
    #[schema(example = "ask not what your <mark>country</mark> can do for you")]
    snippet: String,
    /// The engine that transcribed it.
    engine: String,
    /// Its model and the first digits of the model's hash.
    model: Option<String>,
    /// Label of who spoke, where speakers are told apart.
    speaker: Option<String>,
    /// Where it is in a recording; `null` if it was not recorded.
    recording: Option<Place>,
}

/// A place in a recording.
#[derive(Serialize, ToSchema)]
struct Place {
    /// Id of the recording within the stream.
    id: String,
    /// Path of the file on this server.
    #[schema(example = "/api/v1/recordings/studio-1/2026-11-23T16-03-16.250Z/file")]
    file: String,
    /// Seconds from the start of the file to `at`.
    offset_s: f64,
}

/// Searches the captions of one or all streams. Each hit has its time and its place in a recording.
#[utoipa::path(get, path = "/api/v1/archive/search", tag = "archive", params(SearchParams),
    responses((status = 200, body = Hits), Failures))]
pub(super) async fn search_archive(
    State(state): State<ApiState>,
    Query(params): Query<SearchParams>,
) -> Result<axum::Json<Hits>, Error> {
    let limit = params.limit.clamp(1, PAGE_HITS_MAX);
    let query = match params.q.trim() {
        "" => None,
        typed => Some(store::Query::parse(typed).map_err(refuse_query)?),
    };
    let search = Search {
        query,
        stream: params.stream.as_deref().map(stream).transpose()?.map(|name| name.to_string()),
        language: params.language.as_deref().map(language).transpose()?.map(|l| l.to_string()),
        from_ms: params.from.as_deref().map(|text| time("from", text)).transpose()?,
        to_ms: params.to.as_deref().map(|text| time("to", text)).transpose()?,
        before: params.cursor,
        // One extra hit shows whether there is another page.
        limit: limit + 1,
    };
    let mut found = state.archive.search(&search).await.map_err(broken)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().map(|found| found.id).filter(|_| more);
    let hits = with_places(&state, found).await?;
    Ok(axum::Json(Hits { hits, next }))
}

/// Adds the place in a recording to each hit, on a thread that may block on the disk.
async fn with_places(state: &ApiState, found: Vec<Found>) -> Result<Vec<Hit>, Error> {
    let catalogue = state.catalogue().clone();
    let work = move || {
        let mut hits: Vec<Hit> = found.into_iter().map(hit).collect();
        let mut streams: Vec<String> = hits.iter().map(|hit| hit.stream.clone()).collect();
        streams.sort();
        streams.dedup();
        for stream in streams {
            let Ok(name) = stream.parse::<StreamName>() else { continue };
            let mut of_it: Vec<&mut Hit> = hits.iter_mut().filter(|h| h.stream == stream).collect();
            let times: Vec<DateTime<Utc>> = of_it.iter().map(|hit| hit.at).collect();
            let places = match catalogue.covering(&name, &times) {
                Ok(places) => places,
                Err(error) => {
                    // Hits are returned even if the recordings cannot be read.
                    tracing::warn!(%stream, %error, "recordings are not looked for");
                    continue;
                }
            };
            for (hit, place) in of_it.iter_mut().zip(places) {
                hit.recording = place.map(|(id, offset)| Place {
                    file: format!("/api/v1/recordings/{stream}/{id}/file"),
                    id,
                    offset_s: offset.as_millis() as f64 / 1000.0,
                });
            }
        }
        hits
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("looking at the disk", &e))
}

fn hit(found: Found) -> Hit {
    let Found { id, cue, marks } = found;
    let after = marks.first().and_then(|mark| said_after(&cue.text, &cue.words, mark.start));
    Hit {
        id,
        start: date(cue.start_ms),
        end: date(cue.end_ms),
        at: date(cue.start_ms.saturating_add(after.unwrap_or(0))),
        snippet: snippet(&cue.text, &marks),
        stream: cue.stream,
        language: cue.language,
        text: cue.text,
        engine: cue.engine,
        model: cue.model,
        speaker: cue.speaker,
        recording: None,
    }
}

/// Milliseconds from the start of a cue to the word at a byte offset of its text.
fn said_after(text: &str, words: &[CueWord], place: usize) -> Option<i64> {
    let mut at = 0;
    for word in words {
        let begun = at + text.get(at..)?.find(word.text.as_str())?;
        at = begun + word.text.len();
        if at > place {
            return Some(word.start_offset_ms);
        }
    }
    None
}

/// The text as HTML with the marks. Overlapping marks become one.
fn snippet(text: &str, marks: &[std::ops::Range<usize>]) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    let mut at = 0;
    for mark in marks {
        let (start, end) = (mark.start.max(at), mark.end);
        let (Some(before), Some(marked)) = (text.get(at..start), text.get(start..end)) else {
            continue;
        };
        escape(&mut html, before);
        html.push_str("<mark>");
        escape(&mut html, marked);
        html.push_str("</mark>");
        at = end;
    }
    escape(&mut html, text.get(at..).unwrap_or_default());
    html
}

fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

/// Range and format of a transcript.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TranscriptParams {
    /// Only this language, in any region. Required for `vtt`, `srt` and `txt` if there are several.
    language: Option<String>,
    /// Only from this time on: RFC 3339 or milliseconds since 1970. The times of `vtt` and `srt`
    /// count from here, or by default from the first cue.
    from: Option<String>,
    /// Only before this time.
    to: Option<String>,
    /// Format of the transcript.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// Formats of a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// All data.
    #[default]
    Json,
    /// WebVTT.
    Vtt,
    /// SubRip.
    Srt,
    /// The text only.
    Txt,
}

/// The transcript of a stream, in order of speech.
#[utoipa::path(get, path = "/api/v1/streams/{name}/transcript", tag = "archive",
    params(("name" = String, Path), TranscriptParams),
    responses(
        (status = 200, content((transcript::Transcript = "application/json"),
            (String = "text/vtt"), (String = "application/x-subrip"), (String = "text/plain"))),
        Failures
    ))]
pub(super) async fn get_transcript(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Query(params): Query<TranscriptParams>,
) -> Result<Response, Error> {
    let language = params.language.as_deref().map(language).transpose()?;
    let mut search = Search {
        stream: Some(name.to_string()),
        language: language.map(|language| language.to_string()),
        from_ms: params.from.as_deref().map(|text| time("from", text)).transpose()?,
        to_ms: params.to.as_deref().map(|text| time("to", text)).transpose()?,
        limit: CUES_MAX + 1,
        ..Search::default()
    };
    let languages = state.archive.languages(&search).await.map_err(broken)?;
    if languages.is_empty() {
        // A removed stream may have captions left. An unknown one returns an error.
        state.supervisor().spec(&name)?;
    }
    if params.format != Format::Json
        && let [_, _, ..] = languages.as_slice()
    {
        let message = format!("language: there are several: {}", languages.join(", "));
        return Err(Error::new(Code::Invalid, message, "name one of them"));
    }
    search.language = languages.first().cloned().filter(|_| languages.len() == 1);
    let cues = state.archive.transcript(&search).await.map_err(broken)?;
    if cues.len() > CUES_MAX as usize {
        let message = format!("to: more than {CUES_MAX} cues were said in this time");
        return Err(Error::new(
            Code::Invalid,
            message,
            "ask for a shorter time, and then the next",
        ));
    }
    let begin_ms = search.from_ms.or(cues.first().map(|cue| cue.start_ms)).unwrap_or(0);
    let (kind, ending) = match params.format {
        Format::Json => ("application/json", "json"),
        Format::Vtt => ("text/vtt; charset=utf-8", "vtt"),
        Format::Srt => ("application/x-subrip; charset=utf-8", "srt"),
        Format::Txt => ("text/plain; charset=utf-8", "txt"),
    };
    let body = match params.format {
        Format::Json => transcript::json(&name, &cues)?,
        Format::Vtt => transcript::vtt(&cues, begin_ms),
        Format::Srt => transcript::srt(&cues, begin_ms),
        Format::Txt => transcript::txt(&cues),
    };
    let begin = date(begin_ms).format("%Y-%m-%dT%H-%M-%SZ");
    let file = format!("inline; filename=\"{name}_{begin}.{ending}\"");
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, file),
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// Which cues to delete.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ForgetParams {
    /// Only cues before this time: RFC 3339 or milliseconds since 1970.
    before: Option<String>,
}

/// Result of a deletion.
#[derive(Serialize, ToSchema)]
pub(super) struct Forgotten {
    /// Number of deleted cues.
    deleted: u64,
}

/// Permanently deletes the captions of a stream from the archive. Recordings and their caption
/// files stay.
#[utoipa::path(delete, path = "/api/v1/streams/{name}/transcript", tag = "archive",
    params(("name" = String, Path), ForgetParams),
    responses((status = 200, body = Forgotten), Failures))]
pub(super) async fn delete_transcript(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Query(params): Query<ForgetParams>,
) -> Result<axum::Json<Forgotten>, Error> {
    let before = params.before.as_deref().map(|text| time("before", text)).transpose()?;
    let deleted = state.archive.forget(&name, before).await.map_err(broken)?;
    if deleted == 0 {
        tracing::debug!(stream = %name, "there was nothing to forget");
    } else {
        tracing::info!(stream = %name, deleted, "what was said is forgotten");
    }
    Ok(axum::Json(Forgotten { deleted }))
}

fn stream(text: &str) -> Result<StreamName, Error> {
    let hint = "GET /api/v1/streams lists the streams there are";
    text.parse().map_err(|e| Error::new(Code::Invalid, format!("stream: {e}"), hint))
}

fn language(text: &str) -> Result<Language, Error> {
    text.parse().map_err(|e| Error::new(Code::Invalid, format!("language: {e}"), "en, es, pt-BR …"))
}

fn refuse_query(error: QueryError) -> Error {
    let hint = "give words, \"a phrase\" or the first letters of a word as in begin*";
    Error::new(Code::Invalid, format!("q: {error}"), hint)
}

fn broken(error: store::Error) -> Error {
    match error {
        store::Error::Costly => {
            let hint = "look for rarer words, on one stream or in a shorter time (`from`, `to`)";
            Error::new(Code::SearchTooCostly, "the search takes too long", hint)
        }
        store::Error::Busy => {
            let message = "others search the archive, as many as may at once";
            Error::new(Code::LimitReached, message, "try again in a moment").retry_after(2)
        }
        error => Error::reading("reading the archive", &error),
    }
}

#[cfg(test)]
mod tests;
