//! Live captions: server-sent events and WebSockets.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{Response, Sse};
use axum::routing::get;
use futures::Stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::super::caller::{Admitted, Caller};
use super::super::extract::{Params, Query, Upgrade};
use super::super::{ApiState, Code, Error, Failures};
use crate::egress::words::{Message, Reader, Selection};
use crate::flow::{Action, CaptionFeeds};
use crate::media::{Protocol, StreamName};
use crate::runtime::Supervisor;

/// Maximum number of viewers that follow captions, over all streams.
const VIEWERS_MAX: usize = 2000;

/// Maximum number of earlier cues that a reader may request.
const RECENT_CUES_MAX: usize = 64;

/// Maximum size of a WebSocket message from a reader, in bytes.
const COMMAND_BYTES_MAX: usize = 4 << 10;

/// Interval of WebSocket pings, to detect readers that are gone.
pub(in super::super) const PING_EVERY: Duration = Duration::from_secs(20);

/// Which cues to follow.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct FollowParams {
    /// Only these languages, separated by commas; `original` is the spoken one.
    language: Option<String>,
    /// Also send cues that may still change.
    #[serde(default)]
    partial: bool,
    /// Begin with this many of the newest committed cues of each language, 0-64.
    #[serde(default)]
    recent: usize,
}

impl FollowParams {
    fn reader(&self, caption_feeds: &CaptionFeeds) -> Result<Reader, Error> {
        let selection = Selection::of(self.language.as_deref(), self.partial);
        let selection = selection.map_err(|e| {
            let hint = "name languages as in en,es,pt-BR, or `original`";
            Error::new(Code::Invalid, format!("`language`: {e}"), hint)
        })?;
        Ok(Reader::new(caption_feeds, selection, self.recent.min(RECENT_CUES_MAX)))
    }
}

/// Follows the captions of a stream as server-sent events.
///
/// The first event is `hello` with the languages and the time; another follows when the languages
/// change. Each `cue` event is one cue.
#[utoipa::path(get, path = "/api/v1/streams/{name}/captions/events", tag = "captions",
    params(("name" = String, Path), FollowParams),
    responses((status = 200, body = Message, content_type = "text/event-stream"), Failures))]
pub(in super::super) async fn follow_cues(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Query(params): Query<FollowParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let caption_feeds = state.supervisor().caption_feeds(&name).await?;
    Ok(events(params.reader(&caption_feeds)?, state.shutdown.clone(), None))
}

/// Follows the captions of a stream over a WebSocket, with the same messages as the events.
///
/// The reader may send `{"type":"select","languages":["es"],"partial":true}` at any time.
#[utoipa::path(get, path = "/api/v1/streams/{name}/captions/ws", tag = "captions",
    params(("name" = String, Path), FollowParams),
    responses((status = 101, description = "A WebSocket of `Message`"), Failures))]
pub(in super::super) async fn socket_of_cues(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    Query(params): Query<FollowParams>,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Error> {
    let caption_feeds = state.supervisor().caption_feeds(&name).await?;
    Ok(socket(upgrade, params.reader(&caption_feeds)?, state.shutdown.clone(), None))
}

/// State of the viewer routes.
#[derive(Clone)]
struct Viewers {
    supervisor: Supervisor,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// `/captions/{stream}/events` and `/captions/{stream}/ws`, for viewers with the play token. `stop`
/// ends them.
pub(in super::super) fn viewers(supervisor: &Supervisor, stop: CancellationToken) -> Router {
    let places = Arc::new(Semaphore::new(VIEWERS_MAX));
    Router::new()
        .route("/captions/{stream}/events", get(viewer_events))
        .route("/captions/{stream}/ws", get(viewer_socket))
        .with_state(Viewers { supervisor: supervisor.clone(), places, stop })
}

impl Viewers {
    async fn admit(&self, stream: &str, caller: Caller) -> Result<Admitted<'_>, Error> {
        let stream: StreamName = stream.parse().map_err(|e: crate::media::NameError| {
            let hint = "the address is /captions/<stream>/events or /captions/<stream>/ws";
            Error::new(Code::UnknownStream, e.to_string(), hint)
        })?;
        caller.admit(&self.supervisor, Action::Play, Protocol::Captions, &stream).await
    }

    /// The reader for the viewer's selection, and its place among the viewers.
    async fn open(
        &self,
        stream: &StreamName,
        params: Result<Query<FollowParams>, Error>,
    ) -> Result<(Reader, OwnedSemaphorePermit), Error> {
        let Query(params) = params?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!("{VIEWERS_MAX} viewers follow captions, the limit");
            let hint = "try again later, or take captions from WHEP or HLS";
            Error::new(Code::LimitReached, message, hint).retry_after(10)
        })?;
        let caption_feeds = self.supervisor.caption_feeds(stream).await?;
        Ok((params.reader(&caption_feeds)?, place))
    }
}

async fn viewer_events(
    State(state): State<Viewers>,
    Params(stream): Params<String>,
    params: Result<Query<FollowParams>, Error>,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let viewer = state.admit(&stream, caller).await?;
    let (reader, place) = viewer.tell(state.open(&viewer.access_request().stream, params).await)?;
    Ok(events(reader, state.stop.clone(), Some(place)))
}

async fn viewer_socket(
    State(state): State<Viewers>,
    Params(stream): Params<String>,
    params: Result<Query<FollowParams>, Error>,
    caller: Caller,
    upgrade: Result<Upgrade, Error>,
) -> Result<Response, Error> {
    let viewer = state.admit(&stream, caller).await?;
    let Upgrade(upgrade) = viewer.tell(upgrade)?;
    let (reader, place) = viewer.tell(state.open(&viewer.access_request().stream, params).await)?;
    Ok(socket(upgrade, reader, state.stop.clone(), Some(place)))
}

fn events(
    reader: Reader,
    stop: CancellationToken,
    place: Option<OwnedSemaphorePermit>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let next = |(mut reader, place): (Reader, Option<OwnedSemaphorePermit>)| async move {
        let (_, message) = reader.next().await?;
        let event = Event::default().event(message.name()).data(message.to_json());
        Some((Ok(event), (reader, place)))
    };
    let messages = futures::stream::unfold((reader, place), next);
    let messages = futures::StreamExt::take_until(messages, stop.cancelled_owned());
    Sse::new(messages).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

fn socket(
    upgrade: WebSocketUpgrade,
    reader: Reader,
    stop: CancellationToken,
    place: Option<OwnedSemaphorePermit>,
) -> Response {
    upgrade.max_message_size(COMMAND_BYTES_MAX).max_frame_size(COMMAND_BYTES_MAX).on_upgrade(
        async move |socket| {
            let _place = place;
            if let Err(error) = talk(socket, reader, &stop).await {
                tracing::debug!(%error, "a WebSocket of captions ends");
            }
        },
    )
}

/// Sends messages until either end closes. Sending waits for a slow reader; the feed counts the
/// cues that it misses meanwhile.
async fn talk(
    mut socket: WebSocket,
    mut reader: Reader,
    stop: &CancellationToken,
) -> Result<(), axum::Error> {
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ping.tick() => socket.send(Frame::Ping(Default::default())).await?,
            next = reader.next() => match next {
                Some((_, message)) => socket.send(Frame::text(message.to_json())).await?,
                None => break,
            },
            frame = socket.recv() => match frame.transpose()? {
                Some(Frame::Text(text)) => if let Err(error) = reader.command(&text) {
                    let said = serde_json::json!({ "type": "error", "message": error });
                    socket.send(Frame::text(said.to_string())).await?;
                },
                Some(Frame::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
        }
    }
    socket.send(Frame::Close(None)).await
}
