//! The path to the other end: how much it carries, by transport-wide congestion control.

use gst::prelude::*;
use tokio::sync::watch;

use crate::flow::Error;
use crate::webrtc::Peer;

/// Estimates begin here, in bit/s, where nothing larger has to go out.
const START: u32 = 1_000_000;

/// And end here: more than any stream takes.
const MAX: u32 = 100_000_000;

/// Bounds of what is estimated: AIC-A at its least still goes out.
const MIN: u32 = 8_000;

/// How much the path carries.
pub(super) struct Line {
    estimate: watch::Receiver<Option<u32>>,
}

impl Line {
    /// Estimates what the path of a connection carries, from the moment at which packets flow.
    /// `wanted` is what the stream takes, in bit/s: the estimate begins above it, because packets
    /// are paced by it.
    ///
    /// # Errors
    /// When the estimator is not installed.
    pub(super) fn measure(peer: &Peer, wanted: f64) -> Result<Self, Error> {
        crate::webrtc::register();
        let start = (wanted * 1.5) as u32;
        let estimator = gst::ElementFactory::make("rtpgccbwe")
            .property("min-bitrate", MIN)
            .property("max-bitrate", MAX)
            .property("estimated-bitrate", start.clamp(START, MAX))
            .build()
            .map_err(|_| Error::MissingElement { factory: "rtpgccbwe".into() })?;
        let (tell, estimate) = watch::channel(None);
        estimator.connect_notify(Some("estimated-bitrate"), move |estimator, _| {
            tell.send_replace(Some(estimator.property::<u32>("estimated-bitrate")));
        });
        peer.bin().connect("request-aux-sender", false, move |_| Some(estimator.to_value()));
        Ok(Self { estimate })
    }

    /// A path of which nothing is told.
    pub(super) fn unknown() -> Self {
        Self { estimate: watch::channel(None).1 }
    }

    /// Bandwidth in bit/s, once something is known of it.
    pub(super) fn bandwidth(&self) -> Option<f64> {
        self.estimate.borrow().map(f64::from)
    }
}
