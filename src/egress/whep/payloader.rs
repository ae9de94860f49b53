//! Payloaders: elements that make RTP packets.

use gst::prelude::*;

use crate::media::Codec;

/// Whether the payloader of a codec is installed.
pub fn can_send(codec: Codec) -> bool {
    crate::webrtc::register();
    let factory = payloader(codec).and_then(|d| d.split(' ').next());
    factory.is_some_and(|f| gst::ElementFactory::find(f).is_some())
}

/// The payloader of a codec.
pub(crate) fn payloader(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        // Parameter sets accompany every key frame, for receivers that lost the first ones.
        Codec::H264 => "rtph264pay aggregate-mode=zero-latency config-interval=-1",
        // Picture ids let the player distinguish a lost frame from an omitted one.
        Codec::Vp8 => "rtpvp8pay picture-id-mode=15-bit",
        Codec::Vp9 => "rtpvp9pay picture-id-mode=15-bit",
        Codec::Av1 => "rtpav1pay",
        Codec::Opus => "rtpopuspay",
        _ => return None,
    })
}

/// `webrtcbin` links a track internally when its caps arrive. Only then can latency be distributed.
/// Without it sender reports carry no time, and players cannot synchronise audio and video.
pub(crate) fn configure_latency_when_linked(pipeline: &gst::Pipeline, exit: &gst::Pad) {
    let pipeline = pipeline.downgrade();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    exit.add_probe(kinds, move |_, _| {
        if let Some(pipeline) = pipeline.upgrade() {
            pipeline.call_async(|pipeline| {
                let _ = pipeline.recalculate_latency();
            });
        }
        gst::PadProbeReturn::Remove
    });
}
