//! Shared by WHIP (RFC 9725) and WHEP: settings, session descriptions, connections, sessions.
//!
//! Invariant: `webrtcbin` only sees descriptions that `sdp` has written, never a peer's own text.

pub(crate) mod aic;
mod call;
mod certificate;
mod channel;
mod config;
mod element;
mod nice;
pub(crate) mod opus_sequence_gaps;
pub(crate) mod payload_type;
mod peer;
mod places;
pub mod sdp;
mod session;
pub(crate) mod stats;
pub(crate) mod trunk;
mod webrtc_internals;

pub(crate) use call::Track;
pub(crate) use certificate::warm_up;
pub(crate) use channel::{Channel, ChannelEvent};
pub use config::{Config, TurnServer};
pub(crate) use element::element;
pub(crate) use peer::Peer;
pub use places::{Direction, Full};
pub use session::{Client, Registry, Session, SessionEntry};
pub(crate) use session::{Generation, IceEnd, LayerError, Layers};
pub(crate) use webrtc_internals::request_lost_packets;

/// Registers the RTP elements of this program with GStreamer, once: those of AV1, which Debian 12
/// does not have.
pub(crate) fn register() {
    static REGISTERED: std::sync::Once = std::sync::Once::new();
    REGISTERED.call_once(|| {
        if let Err(error) = gstrsrtp::plugin_register_static() {
            tracing::warn!(%error, "no AV1 by WebRTC");
        }
    });
}

/// Parses an offer and disables its data channels if they are not installed.
///
/// # Errors
/// [`sdp::Invalid`], with the reason.
pub(crate) fn read_offer(text: &str) -> Result<sdp::Description, sdp::Invalid> {
    let offer = sdp::Description::parse(text)?;
    Ok(if channel::available() { offer } else { offer.without_data() })
}
