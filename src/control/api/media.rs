//! WHIP, WHEP and HLS: what asks the stream's own tokens.

use std::sync::Arc;

use axum::Router;

use super::hls;
use super::webrtc::{self, WebRtc};
use crate::runtime::Supervisor;

/// The routes of players and publishers that come by HTTP.
pub fn media_router(supervisor: &Supervisor, web_rtc: WebRtc) -> Router {
    hls::router(Arc::new(supervisor.clone())).merge(webrtc::router(web_rtc))
}
