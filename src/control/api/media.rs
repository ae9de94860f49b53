//! WHIP, WHEP and HLS: what asks the stream's own tokens.

use std::sync::Arc;

use axum::Router;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::hls::{self, HlsSource};
use super::webrtc::{self, WebRtc};
use crate::egress::hls::Shelf;
use crate::flow::{Hello, Refusal};
use crate::runtime::Supervisor;

impl HlsSource for Supervisor {
    fn open(&self, hello: Hello) -> BoxFuture<'_, Result<Arc<Shelf>, Refusal>> {
        self.open_hls(hello).boxed()
    }
}

/// The routes of players and publishers that come by HTTP.
pub fn media_router(supervisor: &Supervisor, web_rtc: WebRtc) -> Router {
    hls::router(Arc::new(supervisor.clone())).merge(webrtc::router(web_rtc))
}
