//! HLS: playlists, initialisation sections, segments and parts.
//!
//! Players cannot add headers to each of their requests, so a token sent as `?token=` is appended
//! to every URI in the playlists.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use futures::future::BoxFuture;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::extract::{Params, Query};
use super::{Code, Error};
use crate::egress::hls;
use crate::egress::segments::{SegmentError, SegmentStore, TrackId};
use crate::flow::{AccessRequest, Action, Refusal};
use crate::media::{Kind, Language, Protocol, Secret, StreamName};
use crate::runtime::Supervisor;

/// Provides the segments of streams to the routes.
pub trait HlsSource: Send + Sync + 'static {
    /// Admits or refuses a player, and starts segments with the first one. Called for every request:
    /// only the first one waits, all others are answered from memory.
    fn open(
        &self,
        access_request: AccessRequest,
    ) -> BoxFuture<'_, Result<Arc<SegmentStore>, Refusal>>;
}

impl HlsSource for Supervisor {
    fn open(
        &self,
        access_request: AccessRequest,
    ) -> BoxFuture<'_, Result<Arc<SegmentStore>, Refusal>> {
        Box::pin(self.open_segments(access_request))
    }
}

/// `/hls/{stream}/index.m3u8` and the files that it refers to.
pub fn router(source: Arc<dyn HlsSource>) -> Router {
    Router::new().route("/hls/{stream}/{file}", get(serve)).with_state(source)
}

#[derive(Debug, Deserialize)]
struct Wanted {
    token: Option<String>,
    #[serde(rename = "_HLS_msn")]
    sequence: Option<u64>,
    #[serde(rename = "_HLS_part")]
    part: Option<usize>,
}

impl Wanted {
    /// The segment and part that a playlist must contain before it is sent (RFC 8216bis, section
    /// 6.2.5.2).
    fn at_least(&self) -> Result<Option<(u64, Option<usize>)>, Error> {
        match (self.sequence, self.part) {
            (Some(sequence), part) => Ok(Some((sequence, part))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::new(
                Code::BadRequest,
                "_HLS_part means nothing without _HLS_msn",
                "send both, or _HLS_msn alone",
            )),
        }
    }
}

/// A file under `/hls/{stream}/`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum File {
    Master,
    Playlist(TrackId),
    Init(TrackId, u64),
    Segment(TrackId, u64),
    Part(TrackId, u64, usize),
    Captions(Language),
    CaptionsSegment(Language, u64),
}

impl File {
    /// `index.m3u8`, `video.m3u8`, `video.init3.mp4`, `video.17.m4s`, `video.17.2.m4s`,
    /// `audio-es.m3u8`, `captions-es.m3u8`, `captions-es.17.vtt`.
    fn parse(name: &str) -> Option<Self> {
        if name == "index.m3u8" {
            return Some(Self::Master);
        }
        let (track, rest) = name.split_once('.')?;
        if let Some(language) = track.strip_prefix("captions-") {
            let language = language.parse().ok()?;
            return match rest.strip_suffix(".vtt") {
                Some(sequence) => Some(Self::CaptionsSegment(language, sequence.parse().ok()?)),
                None => (rest == "m3u8").then_some(Self::Captions(language)),
            };
        }
        let track = TrackId::parse(track)?;
        if rest == "m3u8" {
            return Some(Self::Playlist(track));
        }
        if let Some(number) = rest.strip_prefix("init").and_then(|r| r.strip_suffix(".mp4")) {
            return Some(Self::Init(track, number.parse().ok()?));
        }
        let numbers = rest.strip_suffix(".m4s")?;
        match numbers.split_once('.') {
            None => Some(Self::Segment(track, numbers.parse().ok()?)),
            Some((sequence, part)) => {
                Some(Self::Part(track, sequence.parse().ok()?, part.parse().ok()?))
            }
        }
    }
}

async fn serve(
    State(source): State<Arc<dyn HlsSource>>,
    Params((stream, file)): Params<(String, String)>,
    Query(params): Query<Wanted>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let stream: StreamName = stream.parse().map_err(|e: crate::media::NameError| {
        Error::new(Code::UnknownStream, e.to_string(), "look at the list of streams")
    })?;
    let file = File::parse(&file).ok_or_else(|| {
        let message = format!("there is no file of that name under /hls/{stream}/");
        Error::new(Code::NotFound, message, "begin with index.m3u8")
    })?;
    let peer = peer.map_or_else(String::new, |Extension(ConnectInfo(at))| at.ip().to_string());
    let credential = params.token.clone().or_else(|| bearer(&headers)).map(Secret::new);
    let access_request = AccessRequest {
        action: Action::Play,
        protocol: Protocol::Hls,
        stream,
        credential,
        peer: peer.clone(),
    };
    let segment_store = source.open(access_request).await?;
    segment_store.touch(Protocol::Hls, &peer);

    let query = params.token.as_ref().map_or_else(String::new, |token| {
        format!("?token={}", utf8_percent_encode(token, NON_ALPHANUMERIC))
    });
    Ok(match file {
        File::Master => playlist(hls::master(&segment_store, &query).await?),
        File::Playlist(track) => {
            let at_least = params.at_least()?;
            let text = hls::playlist(&segment_store, &track, &query, at_least).await;
            playlist(text.map_err(|missing| match missing {
                SegmentError::Unknown if at_least.is_some() => Error::new(
                    Code::BadRequest,
                    "_HLS_msn is beyond the segment after the newest",
                    "read the playlist without _HLS_msn first",
                ),
                other => other.into(),
            })?)
        }
        File::Init(track, number) => media(&track, [segment_store.init(&track, number).await?]),
        File::Segment(track, number) => media(&track, segment_store.segment(&track, number).await?),
        File::Part(track, number, part) => {
            media(&track, [segment_store.part(&track, number, part).await?])
        }
        File::Captions(language) => {
            playlist(hls::captions(&segment_store, &language, &query).await?)
        }
        File::CaptionsSegment(language, number) => {
            let headers = [
                (header::CONTENT_TYPE, "text/vtt; charset=utf-8"),
                (header::CACHE_CONTROL, "private, max-age=3600, immutable"),
            ];
            (headers, hls::captions_segment(&segment_store, &language, number)?).into_response()
        }
    })
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn playlist(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// Media files never change, so caches may keep them.
fn media(track: &TrackId, parts: impl IntoIterator<Item = Bytes>) -> Response {
    let parts: Vec<_> = parts.into_iter().collect();
    let length: usize = parts.iter().map(Bytes::len).sum();
    // The parts are shared, not copied: a slow player costs no additional memory.
    let stream = futures::stream::iter(parts.into_iter().map(Ok::<_, std::io::Error>));
    let content_type = if track.kind() == Kind::Video { "video/mp4" } else { "audio/mp4" };
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CACHE_CONTROL, "private, max-age=3600, immutable".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

impl From<SegmentError> for Error {
    fn from(missing: SegmentError) -> Self {
        let (code, hint) = match missing {
            SegmentError::Gone => (Code::SegmentGone, "read the playlist again and go on from it"),
            SegmentError::Unknown => (Code::NotFound, "take names from the playlist only"),
            SegmentError::Late => (Code::StreamLate, "try again in a few seconds"),
        };
        let error = Self::new(code, missing.to_string(), hint);
        if missing == SegmentError::Late { error.retry_after(2) } else { error }
    }
}

#[cfg(test)]
mod tests;
