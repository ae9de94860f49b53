//! WHIP, WHEP, HLS, DASH, captions and voice: routes that use the tokens of the stream.

use std::sync::Arc;

use axum::Router;

use super::segments::{self, SegmentSource};
use super::webrtc::{self, WebRtc};
use super::{captions, voice};
use crate::runtime::Supervisor;

/// The routes of HTTP players and publishers.
pub fn media_router(supervisor: &Supervisor, web_rtc: WebRtc) -> Router {
    let stop = web_rtc.registry().stopping();
    let source: Arc<dyn SegmentSource> = Arc::new(supervisor.clone());
    segments::router(&source)
        .merge(webrtc::router(web_rtc))
        .merge(captions::viewers(supervisor, stop.clone()))
        .merge(voice::router(supervisor, stop))
}
