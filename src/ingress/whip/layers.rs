//! Layers of a publisher's video: which of them a pad of `webrtcbin` carries.
//!
//! `webrtcbin` makes a pad for each layer (SSRC) and knows nothing of layers. The first packets of a layer
//! carry its `rid` in a header extension, until the sender knows that they have arrived (RFC 8852).

use std::sync::Mutex;

use gst::prelude::*;

use crate::flow::Tracks;
use crate::media::IgnorePoison;
use crate::webrtc::request_lost_packets;
use crate::webrtc::sdp::SentLayers;

/// Connects a pad as soon as its first packet says which layer it carries. A pad whose first packet does
/// not say it is ignored.
pub(super) fn attach_when_known(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    tracks: &Tracks,
    layers: &SentLayers,
    attach: impl FnOnce(&gst::Pipeline, &gst::Pad, &Tracks) + Send + 'static,
) {
    // `webrtcbin` does so only for sources that the offer names.
    request_lost_packets(pad);
    let (pipeline, tracks, layers) = (pipeline.downgrade(), tracks.clone(), layers.clone());
    let attach = Mutex::new(Some(attach));
    let first = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER;
    pad.add_probe(first, move |pad, info| {
        let attach = attach.lock().ignore_poison().take();
        let (Some(pipeline), Some(attach)) = (pipeline.upgrade(), attach) else {
            return gst::PadProbeReturn::Remove;
        };
        let rid = info.buffer().and_then(|packet| rid(packet, layers.rid_extension));
        let agreed = rid.filter(|rid| layers.rids.contains(rid));
        match agreed.and_then(|rid| tracks.layers.layer(&rid)) {
            Some(layer) => attach(&pipeline, pad, &tracks.for_layer(layer)),
            None => tracks.ignore_pad(&pipeline, pad, "video", "its packets name no layer"),
        }
        gst::PadProbeReturn::Remove
    });
}

/// The `rid` in a packet's header extension.
fn rid(packet: &gst::Buffer, extension: u8) -> Option<String> {
    let packet = gst_rtp::RTPBuffer::from_buffer_readable(packet).ok()?;
    let text = packet.extension_onebyte_header(extension, 0)?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use gst_rtp::prelude::*;

    use super::*;

    #[test]
    fn the_layer_is_read_from_the_header_extension() {
        gst::init().expect("GStreamer starts");
        let mut buffer = gst::Buffer::new_rtp_with_sizes(10, 0, 0).expect("a packet");
        assert_eq!(rid(&buffer, 10), None);
        let writable = buffer.get_mut().expect("the only one");
        let mut packet = gst_rtp::RTPBuffer::from_buffer_writable(writable).expect("RTP");
        packet.add_extension_onebyte_header(4, b"0").expect("added");
        packet.add_extension_onebyte_header(10, b"h").expect("added");
        drop(packet);
        assert_eq!(rid(&buffer, 10).as_deref(), Some("h"));
        assert_eq!(rid(&buffer, 5), None);
    }
}
