//! Lets viewers in by WHEP (draft-ietf-wish-whep), for pipelines outside of the appliance: a page, an
//! offer, an answer, the end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::pass_requests;
use crate::egress::whep::local_end::{self, End};
use crate::media::{Format, IgnorePoison, Secret};
use auralink_sfu::{self as sfu, Begin, Change, Engine, Source};

/// Most viewers at once.
const VIEWERS_COUNT_MAX: usize = 1000;

/// Longest offer in bytes.
const OFFER_BYTES_MAX: usize = 64 << 10;

/// Time limit for a viewer to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where viewers come in.
pub(super) struct Settings {
    pub(super) address: String,
    pub(super) port: u16,
    /// Empty: anyone may watch.
    pub(super) token: Secret,
}

/// An open door. Dropping it sends all viewers away.
pub(super) struct Door {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What all requests share.
struct Shared {
    token: Secret,
    engine: Engine,
    source: Source,
    format: watch::Receiver<Option<Format>>,
    viewers: Mutex<HashMap<String, CancellationToken>>,
    stop: CancellationToken,
}

impl Door {
    /// Opens the port and serves it on a thread.
    ///
    /// # Errors
    /// Why it cannot be opened, as text.
    pub(super) fn open(
        Settings { address, port, token }: Settings,
        source: Source,
        format: watch::Receiver<Option<Format>>,
        request_keyframe: impl Fn() + Send + 'static,
    ) -> Result<Self, String> {
        let ip: IpAddr =
            address.parse().map_err(|_| format!("whep-address `{address}` is no IP address"))?;
        let at = SocketAddr::new(ip, port);
        let failed = |e: std::io::Error| format!("viewers cannot come in at {at}: {e}");
        let listener = TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let addresses = if ip.is_unspecified() { Vec::new() } else { vec![ip] };
        let settings = sfu::Settings { ports: (0, 0), addresses, shards: 1, tcp: true };
        let engine = Engine::start(settings).map_err(|e| e.to_string())?;
        let stop = CancellationToken::new();
        let viewers = Mutex::default();
        let shared = Shared { token, engine, source, format, viewers, stop: stop.clone() };
        let shared = Arc::new(shared);
        let run = async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            tokio::select! {
                () = shared.stop.cancelled() => {}
                never = pass_requests(&shared.source, request_keyframe) => match never {},
                _ = axum::serve(listener, router(&shared)) => {}
            }
        };
        let thread = std::thread::Builder::new().name("fan-out-door".into());
        let thread = thread.spawn(move || runtime.block_on(run)).map_err(failed)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported.
            let _ = thread.join();
        }
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || Html(include_str!("player.html"))))
        .route("/whep", post(play).options(async || StatusCode::NO_CONTENT))
        .route("/whep/{id}", delete(leave).options(async || StatusCode::NO_CONTENT))
        .layer(DefaultBodyLimit::max(OFFER_BYTES_MAX))
        .layer(map_response(for_any_page))
        .with_state(Arc::clone(shared))
}

/// Lets pages of other sites play (Fetch standard, CORS protocol). They have to know the token.
async fn for_any_page(mut response: Response) -> Response {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "location"),
    ];
    let allowed = allowed.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(allowed);
    response
}

fn refused(status: StatusCode, why: impl Into<String>) -> Response {
    (status, why.into() + "\n").into_response()
}

async fn play(State(shared): State<Arc<Shared>>, headers: HeaderMap, offer: String) -> Response {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !shared.token.is_empty() && !shared.token.matches(sent) {
        return refused(StatusCode::UNAUTHORIZED, "send the token as `Authorization: Bearer …`");
    }
    let Some(format) = shared.format.borrow().clone() else {
        return refused(StatusCode::CONFLICT, "nothing has been sent yet: try again in a moment");
    };
    let (id, cancel) = (format!("{:032x}", rand::random::<u128>()), shared.stop.child_token());
    {
        let mut viewers = shared.viewers.lock().ignore_poison();
        if viewers.len() >= VIEWERS_COUNT_MAX {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "there is no room: try again later");
        }
        viewers.insert(id.clone(), cancel.clone());
    }
    let (end, answer) = match agree(&shared, &offer, &format) {
        Ok(agreed) => agreed,
        Err(why) => {
            shared.viewers.lock().ignore_poison().remove(&id);
            return refused(StatusCode::BAD_REQUEST, why);
        }
    };
    let location = format!("/whep/{id}");
    tokio::spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = watch(&shared.source, &end) => {}
        }
        shared.viewers.lock().ignore_poison().remove(&id);
    });
    let kind = (header::CONTENT_TYPE, "application/sdp".to_owned());
    (StatusCode::CREATED, [kind, (header::LOCATION, location)], answer).into_response()
}

async fn leave(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> StatusCode {
    match shared.viewers.lock().ignore_poison().remove(&id) {
        Some(viewer) => {
            viewer.cancel();
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    }
}

/// Opens a session; returns our end and the answer.
fn agree(shared: &Shared, offer: &str, format: &Format) -> Result<(End, String), String> {
    let offer = crate::webrtc::read_offer(offer).map_err(|e| e.to_string())?;
    let choice = offer.choose_for(format);
    let choices = [choice.ok_or_else(|| format!("the offer has no {} to receive", format.codec))?];
    offer.check(&choices).map_err(|e| e.to_string())?;
    let opened = local_end::open(&shared.engine, (&offer, &choices), None, 2, &[]);
    opened.map_err(|e| e.to_string())
}

/// Plays until the viewer leaves.
async fn watch(source: &Source, end: &End) {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, end.connection.changed()).await;
    if !matches!(connected, Ok(Change::Connected)) {
        return;
    }
    if end.connection.play(0, source, Begin::AtOnce).is_ok() {
        while !matches!(end.connection.changed().await, Change::Ended(_)) {}
    }
}
