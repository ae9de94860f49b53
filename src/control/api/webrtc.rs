//! `/whip/{stream}` and `/whep/{stream}`: publishing and playing by WebRTC (RFC 9725).

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};

use super::caller::Caller;
use super::extract::{Body, Json, Params, Query};
use super::layers::{self, LayerRequest};
use super::sdp_body::{bad_sdp, body_text};
use super::webrtc_redirect::Redirects;
use super::{Code, Error, ice};
use crate::egress::whep::{self, FanOut, Viewer};
use crate::flow::{self, AccessRequest, Action, Gate, Refusal, RefusalKind, SourceReport};
use crate::ingress::whip::{self, Publisher};
use crate::media::{Accepts, Dubs, Protocol, Quality, Rung, StreamName};
use crate::runtime::Supervisor;
use crate::webrtc::sdp::{self, Description};
use crate::webrtc::{Client, Config, Direction, Full, IceEnd, Registry, Session, SessionEntry};
use auralink_sfu as sfu;

/// State shared by the handlers. Cheap to clone.
#[derive(Clone)]
pub struct WebRtc {
    gate: Arc<dyn Gate>,
    config: Arc<Config>,
    registry: Registry,
    /// Serves viewers, unless each has a pipeline.
    fan_out: Option<Arc<FanOut>>,
    /// Sends clients to better appliances, if the configuration wants it.
    redirects: Option<Redirects>,
}

impl WebRtc {
    /// WHIP and WHEP with this gate. GStreamer must have been initialised.
    ///
    /// # Errors
    /// If no port for viewers is free.
    pub fn new(gate: Arc<dyn Gate>, config: Config) -> Result<Self, sfu::Error> {
        let fan_out = FanOut::start(&config)?.map(Arc::new);
        let registry = Registry::new(&config);
        registry.spawn(crate::webrtc::warm_up());
        Ok(Self { gate, config: Arc::new(config), registry, fan_out, redirects: None })
    }

    /// The same, with clients sent to better appliances if the configuration of the cluster wants it.
    #[must_use]
    pub fn with_redirects(self, supervisor: &Supervisor) -> Self {
        Self { redirects: Redirects::new(supervisor), ..self }
    }

    /// The open sessions; [`Registry::shut_down`] ends them.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// The routes, for the root of the server.
pub fn router(state: WebRtc) -> Router {
    Router::new()
        .route("/whip/{stream}", post(publish).options(allowed))
        .route("/whep/{stream}", post(play).options(allowed))
        .route("/whip/{stream}/{session}", patch(patch_whip).delete(end_whip).options(allowed))
        .route("/whep/{stream}/{session}", patch(patch_whep).delete(end_whep).options(allowed))
        .route("/whep/{stream}/{session}/layer", get(tell_layers).post(choose_layer))
        .layer(DefaultBodyLimit::max(sdp::TEXT_BYTES_MAX))
        .with_state(state)
}

/// The API error for a session that could not be set up.
fn failed(error: flow::Error) -> Error {
    let message = error.to_string();
    match error {
        flow::Error::Refused { hint, .. } => Error::new(Code::UnsupportedCodecs, message, hint),
        flow::Error::Stalled(_) => {
            Error::new(Code::StreamLate, message, "try again in a moment").retry_after(2)
        }
        error => Error::internal("setting up a WebRTC session", &error),
    }
}

fn stream_name(text: &str) -> Result<StreamName, Error> {
    let hint = "the address is /whip/<stream> or /whep/<stream>";
    text.parse()
        .map_err(|e: crate::media::NameError| Error::new(Code::UnknownStream, e.to_string(), hint))
}

fn enter(
    state: &WebRtc,
    access_request: &AccessRequest,
    client: Client,
) -> Result<SessionEntry, Error> {
    let direction = match access_request.action {
        Action::Publish => Direction::Publish,
        Action::Play => Direction::Play,
    };
    let AccessRequest { stream, credential, .. } = access_request;
    let entered = state.registry.enter(direction, stream, credential.as_ref(), client);
    entered.map_err(|full| {
        let (code, hint) = match full {
            Full::Stopping => (Code::ShuttingDown, "try again in a minute, or elsewhere"),
            _ => (Code::LimitReached, "try again later, or raise the limit in [webrtc]"),
        };
        Error::new(code, full.to_string(), hint).retry_after(10)
    })
}

/// `?audio=es`: the audio in another language, if the stream is dubbed into it. `?quality=480p`: a rung
/// of the stream's ladder.
#[derive(serde::Deserialize)]
struct ViewerQuery {
    audio: Option<String>,
    quality: Option<String>,
}

impl ViewerQuery {
    fn quality(&self) -> Result<Quality, Error> {
        let text = self.quality.as_deref().filter(|text| !text.is_empty());
        let quality = text.map(str::parse).transpose();
        quality.map(Option::unwrap_or_default).map_err(|allowed: &str| {
            let hint = "the stream's `ladder` in the API names its rungs";
            Error::new(Code::Invalid, format!("`quality`: {allowed}"), hint)
        })
    }

    fn dubs(&self) -> Result<Dubs, Error> {
        match self.audio.as_deref() {
            None | Some("" | "original") => Ok(Dubs::None),
            Some(tag) => tag.parse().map(Dubs::One).map_err(|e: crate::media::LanguageError| {
                let hint = "give the language of a voice of the stream, or `original`";
                Error::new(Code::Invalid, format!("`audio`: {e}"), hint)
            }),
        }
    }
}

/// The viewer's request, the media that it accepts and the quality that it wants.
fn read_viewer(
    query: Result<Query<ViewerQuery>, Error>,
    headers: &HeaderMap,
    body: Result<Body, Error>,
) -> Result<(Description, Accepts, Quality), Error> {
    let offer = read_offer(headers, body)?;
    let query = query?.0;
    let quality = query.quality()?;
    let mut accepts = whep::accepts(&offer).with_dubs(query.dubs()?);
    if let (Quality::Rung(height), Some(video)) = (quality, &mut accepts.video) {
        video.rung = Some(Rung { height, kbps: None });
    }
    if accepts.video.is_none() && accepts.audio.is_none() {
        let message = "the offer asks for no video or audio that can be sent";
        let hint = "offer recvonly sections with H.264, VP8, VP9 or AV1, and Opus";
        return Err(Error::new(Code::UnsupportedCodecs, message, hint));
    }
    Ok((offer, accepts, quality))
}

fn read_offer(headers: &HeaderMap, body: Result<Body, Error>) -> Result<Description, Error> {
    let text = body_text(headers, &body?.0, "application/sdp")?;
    crate::webrtc::read_offer(&text).map_err(bad_sdp)
}

/// The caller as it is to be admitted, or the answer that sends it to another appliance.
async fn receive(
    state: &WebRtc,
    caller: Caller,
    wanted: (Action, Protocol),
    stream: &StreamName,
    uri: &Uri,
) -> ControlFlow<Response, Caller> {
    match &state.redirects {
        Some(redirects) => redirects.receive(caller, wanted, stream, uri).await,
        None => ControlFlow::Continue(caller),
    }
}

async fn play(
    State(state): State<WebRtc>,
    Params(stream): Params<String>,
    uri: Uri,
    query: Result<Query<ViewerQuery>, Error>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    let (stream, client) = (stream_name(&stream)?, caller.client());
    let wanted = (Action::Play, Protocol::Whep);
    let caller = match receive(&state, caller, wanted, &stream, &uri).await {
        ControlFlow::Continue(caller) => caller,
        ControlFlow::Break(elsewhere) => return Ok(elsewhere),
    };
    let caller = caller.admit(&*state.gate, Action::Play, Protocol::Whep, &stream).await?;
    let (offer, accepts, quality) = caller.tell(read_viewer(query, &headers, body))?;
    let entry = caller.tell(enter(&state, caller.access_request(), client))?;
    let subscription = state.gate.play(caller.access_request().clone(), accepts).await?;
    let session = Arc::clone(entry.session());
    let name = format!("whep.{stream}.{}", session.short_id());
    let fan_out = state.fan_out.as_ref();
    let made = Viewer::new(subscription, name, (&offer, quality), &state.config, fan_out).await;
    let made = made.map_err(failed);
    let (viewer, answer) = caller.tell(made)?;
    session.set_connection(viewer.ice_end(), viewer.codecs(), &ufrag(&offer));
    if let Some(layers) = viewer.layers() {
        session.set_layers(layers);
    }
    let (gate, access_request) = (Arc::clone(&state.gate), caller.access_request().clone());
    state.registry.spawn(async move {
        match viewer.run(&entry.session().cancel).await {
            Ok(()) => {}
            // The connection was not established.
            Err(flow::Error::Refused { message, hint, .. }) => {
                let refusal = Refusal::new(RefusalKind::Unsupported, message, hint);
                gate.report_refusal(&access_request, &refusal);
            }
            Err(error) => tracing::warn!(%stream, %error, "a WHEP viewer is lost"),
        }
    });
    Ok(created(&session, answer, &state.config))
}

async fn publish(
    State(state): State<WebRtc>,
    Params(stream): Params<String>,
    uri: Uri,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    let stream = stream_name(&stream)?;
    let wanted = (Action::Publish, Protocol::Whip);
    let caller = match receive(&state, caller, wanted, &stream, &uri).await {
        ControlFlow::Continue(caller) => caller,
        ControlFlow::Break(elsewhere) => return Ok(elsewhere),
    };
    let report = Arc::new(SourceReport::new(Protocol::Whip, caller.peer()));
    let client = caller.client();
    let caller = caller.admit(&*state.gate, Action::Publish, Protocol::Whip, &stream).await?;
    let offer = caller.tell(read_offer(&headers, body))?;
    let choices = caller.tell(whip::choose(&offer, &state.config).map_err(failed))?;
    let entry = caller.tell(enter(&state, caller.access_request(), client))?;
    let intake = state.gate.publish(caller.access_request().clone(), report).await?;
    let session = Arc::clone(entry.session());
    let name = format!("whip.{stream}.{}", session.short_id());
    let made = Publisher::new(intake, name, &offer, &choices, &state.config).await;
    let (publisher, answer) = caller.tell(made.map_err(failed))?;
    let end = Arc::clone(publisher.peer()) as Arc<dyn IceEnd>;
    session.set_connection(end, choices.iter().map(|c| c.codec).collect(), &ufrag(&offer));
    let (gate, access_request) = (Arc::clone(&state.gate), caller.access_request().clone());
    state.registry.spawn(async move {
        publisher.run(&*gate, &access_request, &entry.session().cancel).await;
    });
    Ok(created(&session, answer, &state.config))
}

fn ufrag(offer: &Description) -> String {
    let ice = offer.media.iter().find_map(|m| m.ice.as_ref());
    ice.map(|(ufrag, _)| ufrag.clone()).unwrap_or_default()
}

fn created(session: &Session, answer: String, config: &Config) -> Response {
    let location = format!("/{}/{}/{}", session.protocol, session.stream, session.id);
    let headers = [
        (header::CONTENT_TYPE, "application/sdp".to_owned()),
        (header::LOCATION, location.clone()),
        (header::ETAG, session.generation().etag.clone()),
        (HeaderName::from_static("accept-patch"), "application/trickle-ice-sdpfrag".to_owned()),
    ];
    let mut response = (StatusCode::CREATED, headers, answer).into_response();
    let links = config.links().into_iter().chain(layers::link(session, &location));
    for link in links {
        if let Ok(value) = HeaderValue::from_str(&link) {
            response.headers_mut().append(header::LINK, value);
        }
    }
    response
}

async fn patch_whip(
    State(state): State<WebRtc>,
    Params((stream, id)): Params<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Error> {
    let session = find(&state, Protocol::Whip, &stream, &id)?;
    ice::patch(&session, &headers, &body)
}

async fn patch_whep(
    State(state): State<WebRtc>,
    Params((stream, id)): Params<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Error> {
    let session = find(&state, Protocol::Whep, &stream, &id)?;
    ice::patch(&session, &headers, &body)
}

async fn end_whip(
    State(state): State<WebRtc>,
    Params((stream, id)): Params<(String, String)>,
) -> Result<StatusCode, Error> {
    find(&state, Protocol::Whip, &stream, &id)?.cancel.cancel();
    Ok(StatusCode::OK)
}

async fn end_whep(
    State(state): State<WebRtc>,
    Params((stream, id)): Params<(String, String)>,
) -> Result<StatusCode, Error> {
    find(&state, Protocol::Whep, &stream, &id)?.cancel.cancel();
    Ok(StatusCode::OK)
}

async fn tell_layers(
    State(state): State<WebRtc>,
    Params((stream, id)): Params<(String, String)>,
) -> Result<Response, Error> {
    layers::told(&*find(&state, Protocol::Whep, &stream, &id)?)
}

async fn choose_layer(
    State(state): State<WebRtc>,
    Params((stream, id)): Params<(String, String)>,
    Json(request): Json<LayerRequest>,
) -> Result<Response, Error> {
    layers::choose(&*find(&state, Protocol::Whep, &stream, &id)?, &request)
}

/// A session by its id. The id is the credential: 128 random bits known only to its owner.
fn find(state: &WebRtc, protocol: Protocol, stream: &str, id: &str) -> Result<Arc<Session>, Error> {
    state.registry.find(protocol, stream, id).ok_or_else(|| {
        let message = "there is no such session, or it has ended";
        Error::new(Code::UnknownSession, message, "POST a new offer")
    })
}

/// What may be posted here (RFC 9725 section 4.2).
async fn allowed() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [("accept-post", "application/sdp")])
}

#[cfg(test)]
mod tests;
