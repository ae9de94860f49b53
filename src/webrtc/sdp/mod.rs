//! Session descriptions (RFC 8866, RFC 8829) as far as WHIP and WHEP need them.
//!
//! A peer's text is parsed into a [`Description`], with every value checked and everything bounded.
//! `webrtcbin`, which aborts on some descriptions, only sees text that [`write`] made from one.
//! Pure: text in, text out.

mod candidate;
mod choose;
mod fragment;
#[cfg(test)]
mod fuzz;
mod media;
mod offer;
mod parse;
mod simulcast;
#[cfg(test)]
mod tests;
mod write;

pub use candidate::Candidate;
pub use choose::{Choice, VIDEO_CODECS};
pub use fragment::Fragment;
pub use media::{Direction, Media, Payload};
pub use offer::{Agreed, offer, reduced_answer};
pub use parse::Description;
pub use simulcast::SentLayers;
pub use write::{LocalTransport, SdpAnswer, answer, reduced_offer, restart_answer};
pub(crate) use write::{aic_hints, transport_cc};

/// Largest accepted description, in bytes. Chromium's are about 8 KiB.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// A description that cannot be used, with a text for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SDP cannot be used: {0}")]
pub struct Invalid(pub String);

impl Invalid {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// The header extension that says when media was captured, by which players know how late they are.
pub(crate) const CAPTURE_TIME: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// The header extension by which a receiver reports packet arrival to the sender; without it
/// browsers hardly raise their bitrate.
pub(crate) const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
