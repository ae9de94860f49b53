//! WHEP: viewers over WebRTC.
//!
//! Viewers share the packets of a feed ([`shared`]), or have a pipeline each ([`pipeline`]). Nothing
//! is decoded here: the stream provides feeds with codecs from the viewer's offer. A viewer that
//! opens a data channel `captions` receives captions on it.

mod channels;
mod chooser;
mod fan_out;
mod feed_packets;
mod local_end;
mod offer;
mod payloader;
mod pipeline;
mod quality;
mod shared;
pub mod sink;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use fan_out::FanOut;
pub(crate) use offer::{accepts, known_format};
pub use payloader::can_send;
pub(crate) use payloader::{configure_latency_when_linked, payloader};

use crate::flow::{Error, Subscription};
use crate::media::{Codec, Quality};
use crate::webrtc::sdp::Description;
use crate::webrtc::{Config, IceEnd, Layers};

/// A viewer that has received its answer.
pub(crate) enum Viewer {
    /// Shares packets with others.
    Shared(shared::Viewer),
    /// Has a pipeline of its own.
    Pipeline(pipeline::Viewer),
}

impl Viewer {
    /// Sets up a viewer and makes the answer to its offer. Its subscription has the rung of the
    /// quality already; with a pipeline of its own it keeps that.
    ///
    /// # Errors
    /// If the feeds do not match the offer or the connection cannot be set up.
    pub(crate) async fn new(
        subscription: Subscription,
        name: String,
        (offer, quality): (&Description, Quality),
        config: &Config,
        fan_out: Option<&Arc<FanOut>>,
    ) -> Result<(Self, String), Error> {
        // GStreamer's players have RSA certificates, which the DTLS of the engine does not take.
        match fan_out.filter(|_| !offer.is_of_webrtcbin()) {
            Some(fan_out) => {
                let made =
                    shared::Viewer::new(subscription, name, (offer, quality), config, fan_out);
                made.await.map(|(viewer, answer)| (Self::Shared(viewer), answer))
            }
            None => {
                let made = pipeline::Viewer::new(subscription, name, offer, config);
                made.await.map(|(viewer, answer)| (Self::Pipeline(viewer), answer))
            }
        }
    }

    /// Our end of its ICE connection.
    pub(crate) fn ice_end(&self) -> Arc<dyn IceEnd> {
        match self {
            Self::Shared(viewer) => viewer.ice_end(),
            Self::Pipeline(viewer) => Arc::clone(viewer.peer()) as Arc<dyn IceEnd>,
        }
    }

    /// The qualities that it may choose from, if there are several. A viewer with a pipeline of its own
    /// keeps what it began with.
    pub(crate) fn layers(&self) -> Option<Arc<dyn Layers>> {
        match self {
            Self::Shared(viewer) => viewer.layers(),
            Self::Pipeline(_) => None,
        }
    }

    /// The codecs of its tracks.
    pub(crate) fn codecs(&self) -> Vec<Codec> {
        match self {
            Self::Shared(viewer) => viewer.codecs(),
            Self::Pipeline(viewer) => viewer.codecs(),
        }
    }

    /// Plays until the viewer leaves, the subscription is cancelled, or `cancel`.
    ///
    /// # Errors
    /// If no connection is established, or a pipeline fails.
    pub(crate) async fn run(self, cancel: &CancellationToken) -> Result<(), Error> {
        match self {
            Self::Shared(viewer) => viewer.run(cancel).await,
            Self::Pipeline(viewer) => viewer.run(cancel).await,
        }
    }
}
