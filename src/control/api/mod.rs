//! The HTTP API, one file per resource.
//!
//! [`router`] lists everything that is served. Routes behind the guard need the admin token or a
//! session of the page. WHIP, WHEP and HLS use the tokens of the stream.

mod access;
mod archive;
mod audio;
mod caller;
mod captions;
mod cross_origin;
mod denoise;
mod events;
mod extract;
mod health;
pub mod hls;
mod ice;
mod if_match;
mod jitsi;
mod media;
mod merge;
mod outputs;
mod presets;
pub mod recordings;
mod respond;
mod sdp_body;
mod session;
mod speech;
mod state;
mod streams;
mod system;
mod thumbnail;
pub mod webrtc;

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

use super::problem::{Code, Error};
use super::{auth, console};
use crate::egress::record::Catalogue;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AuraLink",
        description = "Control of an AuraLink media appliance. Every refusal has the form of \
                       `Problem`; its codes are explained in docs/errors.md. WHIP \
                       (`/whip/{stream}`), WHEP (`/whep/{stream}`) and HLS \
                       (`/hls/{stream}/index.m3u8`) follow their own standards and take the \
                       stream's tokens. Viewers follow captions under \
                       `/captions/{stream}/events` and `/captions/{stream}/ws` with the play \
                       token (`?token=`), in the same messages as the API and the data channel \
                       `captions` of WHEP.",
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
            .description(Some("the admin token that was printed at the first start"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The routes behind the guard.
fn guarded() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(streams::list_streams, streams::create_stream))
        .routes(routes!(
            streams::get_stream,
            streams::replace_stream,
            streams::change_stream,
            streams::delete_stream
        ))
        .routes(routes!(streams::get_spec))
        .routes(routes!(streams::get_graph))
        .routes(routes!(streams::start_stream))
        .routes(routes!(streams::kick_publisher))
        .routes(routes!(thumbnail::get_thumbnail))
        .routes(routes!(archive::search_archive))
        .routes(routes!(archive::get_transcript, archive::delete_transcript))
        .routes(routes!(access::get_access))
        .routes(routes!(access::rotate_access))
        .routes(routes!(denoise::get_denoise, denoise::change_denoise))
        .routes(routes!(captions::get_captions, captions::change_captions))
        .routes(routes!(captions::push_cue))
        .routes(routes!(captions::follow_cues))
        .routes(routes!(captions::socket_of_cues))
        .routes(routes!(outputs::list_outputs, outputs::add_output))
        .routes(routes!(outputs::change_output, outputs::delete_output))
        .routes(routes!(outputs::start_output))
        .routes(routes!(outputs::stop_output))
        .routes(routes!(presets::list_presets))
        .routes(routes!(presets::get_preset))
        .routes(routes!(system::get_system))
        .routes(routes!(speech::get_speech))
        .routes(routes!(events::follow_events))
        .merge(audio::router())
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
    let recordings = recordings::router(Catalogue::new("")).into_openapi();
    let mut document = guarded().merge(open()).into_openapi().merge_from(recordings);
    document.info.version = env!("CARGO_PKG_VERSION").into();
    document
}

/// The document as JSON text with a final newline.
pub fn document_json() -> String {
    document().to_pretty_json().map_or_else(|e| format!("{{\"error\": \"{e}\"}}"), |t| t + "\n")
}

/// All routes. `media` (WHIP, WHEP, HLS) uses the tokens of the stream.
pub fn router(state: ApiState, media: Router) -> Router {
    let json = document_json();
    let served = move || {
        let json = json.clone();
        async { ([(axum::http::header::CONTENT_TYPE, "application/json")], json) }
    };
    let (inside, _) = guarded().with_state::<()>(state.clone()).split_for_parts();
    let (recordings, _) = recordings::router(state.catalogue().clone()).split_for_parts();
    let inside = inside
        .merge(recordings)
        .route_layer(middleware::from_fn_with_state(state.clone(), health::when_started))
        .route_layer(middleware::from_fn_with_state(state.auth.clone(), auth::guard))
        .layer(DefaultBodyLimit::max(extract::BODY_MAX));
    let (outside, _) = open().with_state::<()>(state.clone()).split_for_parts();
    let outside = outside.layer(DefaultBodyLimit::max(extract::BODY_MAX));
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
