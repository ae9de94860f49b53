//! The branch of one kind of media into `webrtcbin`.

use gst::prelude::*;

use crate::egress::whep;
use crate::flow::Error;
use crate::webrtc::sdp::Agreed;
use crate::webrtc::{Peer, Track};

/// Maximum packet size in bytes: fits any path including its headers.
const PACKET_BYTES_MAX: u32 = 1200;

/// The elements between a feed and `webrtcbin`.
pub(super) struct Branch {
    /// The elements after the `appsrc`.
    pub(super) bin: gst::Bin,
    /// The payloader.
    pub(super) payloader: gst::Element,
}

/// Builds `appsrc ! description ! webrtcbin` in the running pipeline of a connection. The `appsrc`
/// has the name of the kind of media; the payloader in the description must be named `pay`.
///
/// # Errors
/// If an element is missing or does not link.
pub(super) fn add(
    peer: &Peer,
    agreed: &Agreed,
    track: &Track,
    description: &str,
) -> Result<Branch, Error> {
    let what = format!("the {} branch", agreed.kind);
    let failed = |e: gst::glib::BoolError| Error::build(&what, e);
    let bin = gst::parse::bin_from_description(description, true).map_err(|e| {
        if e.matches(gst::ParseError::NoSuchElement) {
            let factory = e.message().split('"').nth(1).unwrap_or(e.message()).to_owned();
            return Error::MissingElement { factory };
        }
        Error::build(&what, e)
    })?;
    let payloader = bin.by_name("pay").ok_or_else(|| Error::build(&what, "no payloader"))?;
    payloader.set_property("pt", u32::from(agreed.payload.pt));
    payloader.set_property("mtu", PACKET_BYTES_MAX);
    // The type of this property differs between elements.
    payloader.set_property_from_str("ssrc", &track.ssrc.to_string());
    let source = gst_app::AppSrc::builder().name(agreed.kind.as_str());
    let source = source.is_live(true).format(gst::Format::Time).build();
    let pipeline = peer.node().pipeline();
    pipeline.add(&source).map_err(failed)?;
    pipeline.add(&bin).map_err(failed)?;
    source.link(&bin).map_err(failed)?;
    let exit = bin.static_pad("src").ok_or_else(|| Error::build(&what, "no pad"))?;
    whep::configure_latency_when_linked(pipeline, &exit);
    exit.link(&track.pad).map_err(|e| Error::build(&what, e))?;
    bin.sync_state_with_parent().map_err(failed)?;
    source.sync_state_with_parent().map_err(failed)?;
    Ok(Branch { bin, payloader })
}
