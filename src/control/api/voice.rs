//! `/voice/{stream}`: the voice of a stream over a WebSocket, for listeners with the play token.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::captions::PING_EVERY;
use super::extract::{Params, Upgrade};
use super::{Code, Error};
use crate::aic::{FRAME_SAMPLES, RATE_HZ, weights};
use crate::egress::voice::{ListenError, Listening, Voices};
use crate::flow::Action;
use crate::media::{Protocol, StreamName};
use crate::runtime::Supervisor;

/// Maximum number of listeners, over all streams.
const VIEWERS_MAX: usize = 2000;

/// Maximum size of a message from a listener, in bytes: it has nothing to say.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

#[derive(Clone)]
struct Shared {
    supervisor: Supervisor,
    voices: Voices,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// The route, for the root of the server. `stop` ends the listeners.
pub(super) fn router(supervisor: &Supervisor, stop: CancellationToken) -> Router {
    let places = Arc::new(Semaphore::new(VIEWERS_MAX));
    let shared = Shared { supervisor: supervisor.clone(), voices: Voices::default(), places, stop };
    Router::new().route("/voice/{stream}", get(listen)).with_state(shared)
}

async fn listen(
    State(state): State<Shared>,
    Params(stream): Params<String>,
    caller: Caller,
    upgrade: Result<Upgrade, Error>,
) -> Result<Response, Error> {
    let stream: StreamName = stream.parse().map_err(|e: crate::media::NameError| {
        Error::new(Code::UnknownStream, e.to_string(), "the address is /voice/<stream>")
    })?;
    let listener = caller.admit(&state.supervisor, Action::Play, Protocol::Voice, &stream).await?;
    let Upgrade(upgrade) = listener.tell(upgrade)?;
    let place = Arc::clone(&state.places).try_acquire_owned().map_err(|_| {
        let message = format!("{VIEWERS_MAX} listen to voices, the limit");
        let hint = "try again later, or watch by WHEP or HLS";
        Error::new(Code::LimitReached, message, hint).retry_after(10)
    });
    let place = listener.tell(place)?;
    let listening = state.voices.listen(&state.supervisor, listener.access_request()).await;
    let listening = listening.map_err(|error| match error {
        // The gate has reported it.
        ListenError::Refused(refusal) => Error::from(refusal),
        ListenError::Failed(error) => {
            let message = error.to_string();
            Error::new(Code::UnsupportedCodecs, message, "watch by WHEP or HLS")
        }
    })?;
    Ok(socket(upgrade, listening, state.stop.clone(), place))
}

fn socket(
    upgrade: WebSocketUpgrade,
    listening: Listening,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).on_upgrade(
        async move |socket| {
            let _place = place;
            if let Err(error) = talk(socket, listening, &stop).await {
                tracing::debug!(%error, "a WebSocket of a voice ends");
            }
        },
    )
}

/// Sends packets until either end closes. Sending waits for a slow listener, whose queue loses the
/// oldest packets meanwhile.
async fn talk(
    mut socket: WebSocket,
    mut listening: Listening,
    stop: &CancellationToken,
) -> Result<(), axum::Error> {
    let model = weights::text(listening.model());
    let hello = serde_json::json!({ "type": "hello", "model": model, "rate": RATE_HZ });
    socket.send(Frame::text(hello.to_string())).await?;
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    let mut next = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ping.tick() => socket.send(Frame::Ping(Default::default())).await?,
            packet = listening.next() => {
                let Some((first, packet)) = packet else { break };
                if next != Some(first) {
                    let at = serde_json::json!({ "type": "at", "sample": first });
                    socket.send(Frame::text(at.to_string())).await?;
                }
                next = Some(first + (packet.header().frames * FRAME_SAMPLES) as u64);
                socket.send(Frame::Binary(Bytes::copy_from_slice(packet.bytes()))).await?;
            },
            frame = socket.recv() => match frame.transpose()? {
                Some(Frame::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
        }
    }
    socket.send(Frame::Close(None)).await
}
