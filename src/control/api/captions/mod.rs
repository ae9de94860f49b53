//! `/api/v1/streams/{name}/captions`: captions, translations and voices of a stream; and, with the
//! stream's play token, `/captions/{stream}` for viewers.

mod follow;
mod push;
#[cfg(test)]
mod tests;

use axum::extract::State;
use serde::Serialize;

pub(super) use follow::{
    __path_follow_cues, __path_socket_of_cues, PING_EVERY, follow_cues, socket_of_cues, viewers,
};
pub(super) use push::{__path_push_cue, push_cue};

use super::extract::{Json, Params};
use super::if_match::{IfMatch, IfMatchHeader};
use super::merge::patched;
use super::{ApiState, Error, Failures};
use crate::control::stream_service::Part;
use crate::egress::words::{Hello, HelloLanguage};
use crate::media::StreamName;
use crate::process::captions::Settings;
use crate::runtime::{CueFeedSnapshot, StreamSpec, Wanted};

/// Captions of a stream: settings and state.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CaptionsView {
    /// The settings; `enabled` is false if neither stream nor preset has captions.
    settings: Settings,
    /// Current languages, the original first.
    languages: Vec<HelloLanguage>,
    /// Caption feeds with counters.
    feeds: Vec<CueFeedSnapshot>,
}

fn settings(wanted: &Wanted) -> Settings {
    wanted.captions().unwrap_or_else(|| Settings { enabled: false, ..Settings::default() })
}

async fn view(state: &ApiState, name: &StreamName) -> Result<axum::Json<CaptionsView>, Error> {
    let caption_feeds = state.supervisor().caption_feeds(name).await?;
    let feeds = state.supervisor().snapshot(name).await?.cues;
    let languages = Hello::new(&caption_feeds.feeds()).languages;
    let settings = settings(&state.supervisor().wanted(name)?);
    Ok(axum::Json(CaptionsView { settings, languages, feeds }))
}

/// Captions of a stream: settings, languages, and feeds with their counters.
#[utoipa::path(get, path = "/api/v1/streams/{name}/captions", tag = "captions",
    params(("name" = String, Path)), responses((status = 200, body = CaptionsView), Failures))]
pub(super) async fn get_captions(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
) -> Result<axum::Json<CaptionsView>, Error> {
    view(&state, &name).await
}

/// Changes the settings (JSON merge patch, RFC 7396) while the stream runs.
///
/// `null` resets a field to its default. Only the affected nodes restart; viewers stay connected.
#[utoipa::path(patch, path = "/api/v1/streams/{name}/captions", tag = "captions",
    params(("name" = String, Path), IfMatchHeader), request_body = Settings,
    responses((status = 200, body = CaptionsView), Failures))]
pub(super) async fn change_captions(
    State(state): State<ApiState>,
    Params(name): Params<StreamName>,
    IfMatch(precondition): IfMatch,
    Json(patch): Json<serde_json::Value>,
) -> Result<axum::Json<CaptionsView>, Error> {
    let edit = |before: &Wanted| {
        let captions = Some(patched(&settings(before), patch)?);
        Ok(StreamSpec { captions, ..(*before.spec).clone() })
    };
    state.stream_service.change(&name, Part::Settings, precondition, edit).await?;
    view(&state, &name).await
}
