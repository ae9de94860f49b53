//! What WHIP (RFC 9725) and WHEP share: settings, session descriptions, connections, sessions.

mod certificate;
mod config;
mod peer;
pub mod sdp;
mod session;
pub(crate) mod stats;

pub(crate) use certificate::warm_up;
pub use config::{Config, TurnServer};
pub(crate) use peer::Peer;
pub use session::{Entry, Registry, Session};

use crate::flow::Error;

/// One element from its `gst-launch-1.0` words.
pub(crate) fn element(description: &str) -> Result<gst::Element, Error> {
    let factory = description.split(' ').next().unwrap_or(description);
    gst::parse::launch_full(description, None, gst::ParseFlags::FATAL_ERRORS).map_err(|e| {
        if e.matches(gst::ParseError::NoSuchElement) {
            Error::MissingElement { factory: factory.to_owned() }
        } else {
            Error::build(factory, e)
        }
    })
}
