//! The path to the other end: how much it carries, by transport-wide congestion control.

use gst::prelude::*;
use tokio::sync::watch;

use crate::flow::Error;
use crate::webrtc::Peer;

/// Estimates begin here, in bit/s, where nothing larger has to go out.
const START: u32 = 1_000_000;

/// More than any stream takes.
const MAX: u32 = 100_000_000;

/// Estimates end at so many times what the stream takes. What losses allow grows to that while there
/// are none, and takes as long to come down again.
const MORE: f64 = 2.0;

/// Least estimate: payload of AIC-A at its least.
const MIN: u32 = 1_500;

/// How much the path carries.
pub(super) struct Line {
    estimator: gst::Element,
    estimate: watch::Receiver<Option<u32>>,
    /// Whether the other end says when each packet came.
    told: bool,
}

impl Line {
    /// Puts the estimator into a connection, before it is offered: `webrtcbin` asks for it when it
    /// takes the answer.
    ///
    /// # Errors
    /// When the estimator is not installed.
    pub(super) fn install(peer: &Peer) -> Result<Self, Error> {
        crate::webrtc::register();
        // Packets are paced by the estimate: as long as there is none they just go through.
        let estimator = gst::ElementFactory::make("rtpgccbwe")
            .property("min-bitrate", MIN)
            .property("max-bitrate", MAX)
            .property("estimated-bitrate", MAX)
            .build()
            .map_err(|_| Error::MissingElement { factory: "rtpgccbwe".into() })?;
        let (tell, estimate) = watch::channel(None);
        estimator.connect_notify(Some("estimated-bitrate"), move |estimator, _| {
            tell.send_replace(Some(estimator.property::<u32>("estimated-bitrate")));
        });
        let given = estimator.clone();
        peer.bin().connect("request-aux-sender", false, move |_| Some(given.to_value()));
        Ok(Self { estimator, estimate, told: false })
    }

    /// The other end says when each packet came: the path is measured from now on, beginning above
    /// the `wanted` bit/s that the stream takes.
    pub(super) fn begin(&mut self, wanted: f64) {
        let start = ((wanted * 1.5) as u32).clamp(START, MAX);
        self.estimator.set_property("estimated-bitrate", start);
        let most = (wanted * MORE) as u32;
        self.estimator.set_property("max-bitrate", most.clamp(START, MAX));
        self.told = true;
    }

    /// Bandwidth in bit/s of payload, once something is known of it: of RTP packets nothing else is
    /// counted.
    pub(super) fn bandwidth(&self) -> Option<f64> {
        self.estimate.borrow().filter(|_| self.told).map(f64::from)
    }
}
