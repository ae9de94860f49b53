//! The HTTP API, one file per resource.
//!
//! [`router`] lists everything that is served. Routes behind the guard need a token with the role for
//! them, or a session of the page. WHIP, WHEP, HLS and DASH use the tokens of the stream.

mod access;
mod archive;
mod audio;
mod caller;
mod captions;
mod cluster;
mod cluster_captions;
mod cross_origin;
mod denoise;
mod events;
mod extract;
mod health;
mod ice;
mod if_match;
mod jitsi;
mod layers;
mod media;
mod merge;
mod outputs;
mod presets;
pub mod recordings;
mod respond;
mod route_table;
mod sdp_body;
pub mod segments;
mod session;
mod speech;
mod state;
mod streams;
mod system;
mod thumbnail;
mod tokens;
mod viewers;
mod voice;
pub mod webrtc;
mod webrtc_redirect;

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use media::media_router;
pub use respond::Failures;
pub use state::{ApiState, Parts};

use super::console;
use super::problem::{Code, Error};
use route_table::RouteTable;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AuraLink",
        description = "Control of an AuraLink media appliance. Every refusal has the form of \
                       `Problem`; its codes are explained in docs/errors.md. WHIP \
                       (`/whip/{stream}`), WHEP (`/whep/{stream}`), HLS \
                       (`/hls/{stream}/index.m3u8`) and DASH \
                       (`/dash/{stream}/manifest.mpd`) follow their own standards and take the \
                       stream's tokens. Viewers follow captions under \
                       `/captions/{stream}/events` and `/captions/{stream}/ws` with the play \
                       token (`?token=`), in the same messages as the API and the data channel \
                       `captions` of WHEP. `/voice/{stream}` is a WebSocket of the voice alone, \
                       AIC-A of about 3 kbit/s (docs/aic-rtp.md, section 11), with the same token.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Tokens),
    security(("token" = [])),
    tags(
        (name = "streams", description = "Streams: what is wanted and how they are doing"),
        (name = "recordings", description = "What was recorded"),
        (name = "captions", description = "What is said in a stream, as text and in other languages"),
        (name = "archive", description = "What was said"),
        (name = "speech", description = "Speech in files, in the form of OpenAI's API"),
        (name = "outputs", description = "Where a stream goes besides its viewers"),
        (name = "system", description = "The appliance itself")
    )
)]
struct Document;

struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "the admin token that was printed at the first start, or one that \
                 `POST /api/v1/tokens` has made",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The routes behind the guard, each with the permission that it needs. Without a state they are
/// only documented.
fn guarded(state: Option<&ApiState>) -> OpenApiRouter<ApiState> {
    let table = RouteTable::new(OpenApiRouter::with_openapi(Document::openapi()), state);
    let table = of_streams(table)
        .view(routes!(archive::search_archive))
        .view(routes!(presets::list_presets))
        .view(routes!(presets::get_preset))
        .view(routes!(health::get_health))
        .view(routes!(system::get_system))
        .view(routes!(system::get_voice_model))
        .view(routes!(cluster::get_cluster))
        .cluster(routes!(cluster::get_cluster_load))
        .cluster(routes!(cluster::get_cluster_stream))
        .cluster(routes!(cluster_captions::follow_cluster_captions))
        .view(routes!(speech::get_speech))
        .view(routes!(events::follow_events))
        .administer(routes!(tokens::list_tokens))
        .administer(routes!(tokens::create_token))
        .administer(routes!(tokens::delete_token));
    recordings::add(audio::add(table)).finish()
}

fn of_streams(table: RouteTable<'_, ApiState>) -> RouteTable<'_, ApiState> {
    table
        .view(routes!(streams::list_streams))
        .operate(routes!(streams::create_stream))
        .view(routes!(streams::get_stream))
        .operate(routes!(streams::replace_stream))
        .operate(routes!(streams::change_stream))
        .operate(routes!(streams::delete_stream))
        .operate(routes!(streams::get_spec))
        .view(routes!(streams::get_graph))
        .operate(routes!(streams::start_stream))
        .operate(routes!(streams::kick_publisher))
        .view(routes!(viewers::list_viewers))
        .operate(routes!(viewers::disconnect_viewer))
        .view(routes!(thumbnail::get_thumbnail))
        .view(routes!(archive::get_transcript))
        .operate(routes!(archive::delete_transcript))
        .view(routes!(access::get_access))
        .operate(routes!(access::rotate_access))
        .view(routes!(denoise::get_denoise))
        .operate(routes!(denoise::change_denoise))
        .view(routes!(captions::get_captions))
        .operate(routes!(captions::change_captions))
        .operate(routes!(captions::push_cue))
        .view(routes!(captions::follow_cues))
        .view(routes!(captions::socket_of_cues))
        .view(routes!(outputs::list_outputs))
        .operate(routes!(outputs::add_output))
        .operate(routes!(outputs::change_output))
        .operate(routes!(outputs::delete_output))
        .operate(routes!(outputs::start_output))
        .operate(routes!(outputs::stop_output))
}

/// Routes without a token: sign-in, health, the page, the OpenAPI document.
fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(session::get_session, session::sign_in, session::sign_out))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The OpenAPI 3.1 document, as served and as checked in.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = guarded(None).merge(open()).into_openapi();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    document
}

/// The document as JSON text with a final newline.
pub fn document_json() -> String {
    document().to_pretty_json().map_or_else(|e| format!("{{\"error\": \"{e}\"}}"), |t| t + "\n")
}

/// All routes. `media` (WHIP, WHEP, HLS, DASH) uses the tokens of the stream.
pub fn router(state: ApiState, media: Router) -> Router {
    let json = document_json();
    let served = move || {
        let json = json.clone();
        async { ([(axum::http::header::CONTENT_TYPE, "application/json")], json) }
    };
    let (inside, _) = guarded(Some(&state)).with_state::<()>(state.clone()).split_for_parts();
    let inside = inside.layer(DefaultBodyLimit::max(extract::BODY_BYTES_MAX));
    let (outside, _) = open().with_state::<()>(state.clone()).split_for_parts();
    let outside = outside.layer(DefaultBodyLimit::max(extract::BODY_BYTES_MAX));
    Router::new()
        .merge(inside)
        .merge(outside)
        .route("/api/v1/openapi.json", axum::routing::get(served))
        .merge(console::router())
        .merge(jitsi::router(&state))
        .merge(media)
        .fallback(health::not_found)
        .method_not_allowed_fallback(health::method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(state.auth.is_open(), cross_origin::cross_origin))
        .layer(middleware::from_fn_with_state(state.metrics.clone(), health::observe))
}

/// A panic in a handler is answered like any other internal fault. The panic message and its
/// location go to standard error.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    let hint = "tell the makers what you did; the log has the place";
    Error::new(Code::Internal, "the request met a fault of the appliance", hint).into_response()
}

#[cfg(test)]
mod tests;
