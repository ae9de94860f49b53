//! WHIP, WHEP, HLS and captions: routes that use the tokens of the stream.

use std::sync::Arc;

use axum::Router;

use super::webrtc::{self, WebRtc};
use super::{captions, hls};
use crate::runtime::Supervisor;

/// The routes of HTTP players and publishers.
pub fn media_router(supervisor: &Supervisor, web_rtc: WebRtc) -> Router {
    let stop = web_rtc.registry().stopping();
    hls::router(Arc::new(supervisor.clone()))
        .merge(webrtc::router(web_rtc))
        .merge(captions::viewers(supervisor, stop))
}
