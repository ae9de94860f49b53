//! Segments over HTTP: the playlists of HLS, the manifest of DASH, and the initialisation sections,
//! segments and parts that both refer to.
//!
//! Players cannot add headers to each of their requests, so a token sent as `?token=` is appended
//! to every URI in the manifests. A token in the path is in relative URIs anyway: then the files
//! are the same for all players, and a cache can keep one copy of each.

mod cache;
mod file;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use futures::future::BoxFuture;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::extract::{Params, Query};
use super::{Code, Error};
use crate::egress::segments::{Media, SegmentError, SegmentStore, TrackId};
use crate::egress::{Manifest, SEGMENT_PROTOCOLS, dash, hls};
use crate::flow::{AccessRequest, Action, Gate, Refusal, RefusalKind};
use crate::media::{Kind, Protocol, Secret, StreamName};
use crate::runtime::Supervisor;
use cache::{Answer, Lifetime};
use file::File;

/// How much of a file is read at once.
const READ_SIZE_BYTES: usize = 64 << 10;

/// Provides the segments of streams to the routes.
pub trait SegmentSource: Send + Sync + 'static {
    /// Admits or refuses a player, and starts segments with the first one. Called for every request:
    /// only the first one waits, all others are answered from memory.
    fn open(
        &self,
        access_request: AccessRequest,
    ) -> BoxFuture<'_, Result<Arc<SegmentStore>, Refusal>>;

    /// Whether a player is admitted. No segments start, but the stream may come from another appliance.
    fn admit(&self, access_request: AccessRequest) -> BoxFuture<'_, Result<(), Refusal>>;
}

impl SegmentSource for Supervisor {
    fn open(
        &self,
        access_request: AccessRequest,
    ) -> BoxFuture<'_, Result<Arc<SegmentStore>, Refusal>> {
        Box::pin(self.open_segments(access_request))
    }

    fn admit(&self, access_request: AccessRequest) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            Gate::prepare(self, access_request.clone()).await?;
            Gate::admit(self, &access_request).map(|_| ())
        })
    }
}

/// `/hls/{stream}/index.m3u8`, `/dash/{stream}/manifest.mpd` and the files that they refer to, which
/// are the same under both; all of it also with a token in the path.
pub fn router(source: &Arc<dyn SegmentSource>) -> Router {
    SEGMENT_PROTOCOLS.iter().fold(Router::new(), |router, protocol| {
        let site = Site { source: source.clone(), protocol: *protocol };
        let files = Router::new()
            .route(&format!("/{protocol}/{{stream}}/{{file}}"), get(serve))
            .route(&format!("/{protocol}/{{stream}}/{{token}}/{{file}}"), get(serve));
        router.merge(files.with_state(site))
    })
}

/// What serves the players of a protocol.
#[derive(Clone)]
struct Site {
    source: Arc<dyn SegmentSource>,
    protocol: Protocol,
}

/// The path of a request.
#[derive(Debug, Deserialize)]
struct Place {
    stream: String,
    token: Option<String>,
    file: String,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    token: Option<String>,
    #[serde(rename = "_HLS_msn")]
    sequence: Option<u64>,
    #[serde(rename = "_HLS_part")]
    part: Option<usize>,
    #[serde(rename = "_HLS_skip")]
    skip: Option<String>,
}

impl Wanted {
    /// Whether the end of a long playlist is enough (section 6.2.5.1 there). We have nothing that `v2`
    /// skips beyond `YES`.
    fn skips(&self) -> bool {
        self.skip.as_deref().is_some_and(|skip| ["YES", "v2"].contains(&skip))
    }

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

async fn serve(
    State(Site { source, protocol }): State<Site>,
    Params(place): Params<Place>,
    Query(params): Query<Wanted>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let stream: StreamName = place.stream.parse().map_err(|e: crate::media::NameError| {
        Error::new(Code::UnknownStream, e.to_string(), "look at the list of streams")
    })?;
    let file = File::parse(&place.file).ok_or_else(|| {
        let message = format!("there is no file of that name under /{protocol}/{stream}/");
        Error::new(Code::NotFound, message, "begin with index.m3u8 by HLS, manifest.mpd by DASH")
    })?;
    let peer = peer.map_or_else(String::new, |Extension(ConnectInfo(at))| at.ip().to_string());
    // With a token in the path the files of all players are equal, whatever else they send.
    let query = params.token.as_ref().filter(|_| place.token.is_none());
    let query = query.map_or_else(String::new, |token| {
        format!("?token={}", utf8_percent_encode(token, NON_ALPHANUMERIC))
    });
    let credential = place.token.or_else(|| params.token.clone()).or_else(|| bearer(&headers));
    let access_request = AccessRequest {
        action: Action::Play,
        protocol,
        stream,
        credential: credential.map(Secret::new),
        peer: peer.clone(),
    };
    if file == File::Admission {
        source.admit(access_request).await.map_err(barred)?;
        return Ok(cache::admitted(&headers));
    }
    let segment_store = source.open(access_request).await?;
    segment_store.touch(protocol, &peer);
    Ok(read(&segment_store, file, &query, (params.at_least()?, params.skips()))
        .await?
        .respond(&headers))
}

/// The file. `at_least` is what a playlist must contain; with `skip` its end is enough.
async fn read(
    segment_store: &SegmentStore,
    file: File,
    query: &str,
    (at_least, skip): (Option<(u64, Option<usize>)>, bool),
) -> Result<Answer, Error> {
    Ok(match file {
        // Answered before the stream is opened.
        File::Admission => return Err(SegmentError::Unknown.into()),
        File::Master => playlist(hls::master(segment_store, query).await?),
        File::Mpd => {
            let Manifest { text, lifetime } = dash::manifest(segment_store, query).await?;
            written("application/dash+xml", Lifetime::Manifest(lifetime), text)
        }
        File::Playlist(track) => {
            let manifest = hls::playlist(segment_store, &track, query, at_least, skip).await;
            playlist(manifest.map_err(|missing| match missing {
                SegmentError::Unknown if at_least.is_some() => Error::new(
                    Code::BadRequest,
                    "_HLS_msn is beyond the segment after the newest",
                    "read the playlist without _HLS_msn first",
                ),
                other => other.into(),
            })?)
        }
        File::Captions(language) => playlist(hls::captions(segment_store, &language, query).await?),
        File::CaptionsSegment(language, number) => {
            let captions = segment_store.captions_segment(&language, number).await?;
            media("text/vtt; charset=utf-8", format!("\"captions-{language}.{number}\""), captions)
        }
        File::CaptionsAt(language, start) => {
            let captions = segment_store.captions_at(&language, start)?;
            media("text/vtt; charset=utf-8", format!("\"captions-{language}.t{start}\""), captions)
        }
        File::Init(track, number) => {
            let tag = format!("\"{track}.init{number}\"");
            let init = segment_store.init(&track, number).await?;
            media(content_type(&track), tag, Media::Memory([init].into()))
        }
        File::Segment(track, number) => segment(segment_store, &track, number).await?,
        File::SegmentAt(track, init, start) => {
            let number = segment_store.number_at(&track, init, start)?;
            segment(segment_store, &track, number).await?
        }
        File::Part(track, number, part) => {
            let tag = format!("\"{track}.{number}.{part}\"");
            let part = segment_store.part(&track, number, part).await?;
            media(content_type(&track), tag, Media::Memory([part].into()))
        }
    })
}

/// The refusal of an admission. Proxies that ask for one pass 401 and 403 on and take everything
/// else for a failure of their own.
fn barred(refusal: Refusal) -> Error {
    match refusal.kind {
        RefusalKind::UnknownStream => Error::new(Code::Forbidden, refusal.message, refusal.hint),
        _ => refusal.into(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn playlist(manifest: Manifest) -> Answer {
    let lifetime = Lifetime::Manifest(manifest.lifetime);
    written("application/vnd.apple.mpegurl", lifetime, manifest.text)
}

fn written(content_type: &'static str, lifetime: Lifetime, text: String) -> Answer {
    let (tag, length) = (cache::tag_of(&text), text.len());
    Answer { content_type, tag, lifetime, body: Body::from(text), length }
}

async fn segment(
    segment_store: &SegmentStore,
    track: &TrackId,
    number: u64,
) -> Result<Answer, Error> {
    let tag = format!("\"{track}.{number}\"");
    Ok(media(content_type(track), tag, segment_store.segment(track, number).await?))
}

fn content_type(track: &TrackId) -> &'static str {
    if track.kind() == Kind::Video { "video/mp4" } else { "audio/mp4" }
}

/// A media file. It never changes, so its name is its tag.
fn media(content_type: &'static str, tag: String, media: Media) -> Answer {
    let (body, length) = match media {
        Media::Memory(parts) => {
            let length = parts.iter().map(Bytes::len).sum();
            // The parts are shared, not copied: a slow player costs no additional memory.
            let stream = futures::stream::iter(parts.into_iter().map(Ok::<_, std::io::Error>));
            (Body::from_stream(stream), length)
        }
        // Read as the player takes it, on the blocking pool.
        Media::Disk(file, length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            (Body::from_stream(ReaderStream::with_capacity(file, READ_SIZE_BYTES)), length)
        }
    };
    Answer { content_type, tag, lifetime: Lifetime::Media, body, length }
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
