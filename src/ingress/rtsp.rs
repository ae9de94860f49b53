//! RTSP: pulls from cameras and servers.

use gst::prelude::*;

use super::pads;
use crate::flow::{Error, Intake, Node};

/// Pulls from `rtsp://[user:password@]host[:port]/path` until the stream wants it gone.
///
/// RTP over UDP is tried first, then TCP. User and password stay out of logs and of the report.
///
/// # Errors
/// When the address is wrong, the server refuses or the media stops.
pub async fn run(intake: Intake, url: &str) -> Result<(), Error> {
    let node = Node::parse("rtsp source", "rtspsrc name=in latency=200 drop-on-latency=true")?;
    let source = node.element("in")?;
    source.set_property("location", url);
    source.set_property_from_str("protocols", "tcp+udp");
    let tracks = intake.tracks.clone();
    let pipeline = node.pipeline().downgrade();
    source.connect_pad_added(move |_, pad| {
        let Some(pipeline) = pipeline.upgrade() else { return };
        pads::attach_rtp(&pipeline, pad, &tracks);
    });
    pads::run_watched(&node, &intake).await
}
