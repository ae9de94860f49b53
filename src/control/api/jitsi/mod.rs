//! `/streaming-whisper/ws/{meeting}`: transcription of Jitsi meetings with Skynet's protocol, so
//! that Jigasi can use the appliance in its place.
//!
//! Jigasi sends binary messages, `speaker|language` in 60 bytes followed by 16 kHz PCM. It receives
//! `{"id", "participant_id", "ts", "text", "audio", "type", "variance"}` for each speaker.

mod frame;
mod speaker;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message as Packet, WebSocket};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::extract::{Params, Query, Upgrade};
use super::{ApiState, Code, Error};
use crate::control::auth;
use crate::media::Secret;
use crate::speech::stt::Engines;
use frame::{Message, SpeakerAudio};
use speaker::{Speaker, SpeakerUtterance};

/// Maximum number of meetings.
const MEETINGS_MAX: usize = 16;

/// Maximum number of speakers of a meeting; audio of further speakers is ignored.
const SPEAKERS_MAX: usize = 50;

/// Maximum size of a message, in bytes: 16 s of audio.
const MESSAGE_BYTES_MAX: usize = 512 << 10;

/// Texts that may wait to be sent to a meeting.
const WAITING_TEXTS_MAX: usize = 256;

/// A meeting without messages ends after this time; Jigasi's own limit is the same.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// How often pauses of speakers are checked.
const PAUSE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Meetings {
    api: ApiState,
    places: Arc<Semaphore>,
}

/// The route, for the root of the server. It checks its own token, which is in the query.
pub(super) fn router(api: &ApiState) -> Router {
    let places = Arc::new(Semaphore::new(MEETINGS_MAX));
    Router::new()
        .route("/streaming-whisper/ws/{meeting}", get(meet))
        .with_state(Meetings { api: api.clone(), places })
}

#[derive(Deserialize)]
struct TokenQuery {
    auth_token: Option<Secret>,
}

async fn meet(
    State(state): State<Meetings>,
    Params(meeting): Params<String>,
    Query(query): Query<TokenQuery>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    mut headers: HeaderMap,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, Error> {
    // An open appliance needs no token, and accepts Jigasi's own, which it could not check.
    let open = state.api.auth.is_open() && !headers.contains_key(header::ORIGIN);
    let signed = query.auth_token.as_ref().is_some_and(|token| is_signed(&state.api, token));
    let open = open || signed;
    if let Some(token) = query.auth_token.filter(|_| !open) {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let wrong = |_| Error::new(Code::BadRequest, "auth_token is no token", "send the token");
        headers.insert(header::AUTHORIZATION, bearer.map_err(wrong)?);
    }
    // A page of another origin may not use our session cookie: a token is required.
    headers.remove(header::COOKIE);
    let from = peer.map(|axum::Extension(ConnectInfo(at))| at.ip());
    if !open {
        auth::check_reader(&state.api.auth, &headers, from)?;
    }
    let place = Arc::clone(&state.places).try_acquire_owned().map_err(|_| {
        let message = format!("{MEETINGS_MAX} meetings are being heard, the limit");
        Error::new(Code::LimitReached, message, "try again later").retry_after(10)
    })?;
    let engines = Arc::clone(&state.api.supervisor().speech().stt);
    let stop = state.api.shutdown.clone();
    // The name is used only for the log.
    let name: String = meeting.chars().filter(|c| !c.is_control()).take(64).collect();
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).on_upgrade(
        async move |socket| {
            let mut meeting = Meeting::new(engines, place);
            tokio::select! {
                () = stop.cancelled() => {}
                why = meeting.run(socket) => {
                    tracing::debug!(meeting = name, why, "a meeting has ended");
                }
            }
        },
    ))
}

/// Whether Jigasi has signed the token. Any other token is tried as the admin's, where failures are
/// counted.
fn is_signed(api: &ApiState, token: &Secret) -> bool {
    let Some(verifier) = &api.jitsi else { return false };
    let outcome = verifier.check(token.expose(), chrono::Utc::now().timestamp());
    if let Err(reason) = &outcome {
        tracing::debug!(%reason, "a meeting's token is not one of Jigasi's");
    }
    outcome.is_ok()
}

/// One meeting.
struct Meeting {
    engines: Arc<Engines>,
    speakers: HashMap<String, Speaker>,
    tell: mpsc::Sender<SpeakerUtterance>,
    said: mpsc::Receiver<SpeakerUtterance>,
    _place: OwnedSemaphorePermit,
}

impl Meeting {
    fn new(engines: Arc<Engines>, place: OwnedSemaphorePermit) -> Self {
        let (tell, said) = mpsc::channel(WAITING_TEXTS_MAX);
        Self { engines, speakers: HashMap::new(), tell, said, _place: place }
    }

    /// Transcribes until the meeting ends. Returns the reason.
    async fn run(&mut self, mut socket: WebSocket) -> String {
        let mut tick = tokio::time::interval(PAUSE_CHECK_INTERVAL);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.speakers.values_mut().for_each(Speaker::tick);
                    if heard.elapsed() > SILENCE_MAX {
                        return "nothing has come for minutes".into();
                    }
                }
                Some(said) = self.said.recv() => {
                    let text = serde_json::to_string(&said).unwrap_or_default();
                    if let Err(error) = socket.send(Packet::text(text)).await {
                        return error.to_string();
                    }
                }
                packet = socket.recv() => match packet {
                    Some(Ok(Packet::Binary(bytes))) => {
                        heard = Instant::now();
                        match Message::parse(&bytes) {
                            Ok(Message::Audio(audio)) => self.hear(&audio),
                            Ok(Message::End) => return "all have left".into(),
                            Err(error) => tracing::debug!(error, "a message is not understood"),
                        }
                    }
                    Some(Ok(Packet::Close(_))) | None => return "it was closed".into(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.to_string(),
                },
            }
        }
    }

    fn hear(&mut self, audio: &SpeakerAudio<'_>) {
        let known = self.speakers.get(audio.speaker);
        // A speaker who changes the language gets a new transcriber.
        if known.is_none_or(|speaker| !speaker.speaks(&audio.language)) {
            if known.is_none() && self.speakers.len() >= SPEAKERS_MAX {
                return;
            }
            match Speaker::new(&self.engines, audio, self.tell.clone()) {
                Ok(speaker) => drop(self.speakers.insert(audio.speaker.to_owned(), speaker)),
                Err(error) => return tracing::warn!(%error, "a speaker is not heard"),
            }
        }
        if let Some(speaker) = self.speakers.get_mut(audio.speaker) {
            speaker.hear(audio);
        }
    }
}
