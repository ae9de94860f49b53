//! Payload types outside 96-127, which GStreamer's payloaders and `rtpopusdepay` refuse.
//!
//! RFC 3551 section 3 lets a session use any unassigned type if 96-127 do not suffice, and browsers
//! with long lists of codecs use 35-63. Such a track has an internal type inside the pipeline;
//! packets and caps are converted at `webrtcbin`.

use std::ops::RangeInclusive;

use gst::prelude::*;

use super::element;
use crate::flow::Error;

/// Types supported by the elements of GStreamer 1.22: the dynamic types of RFC 3551 section 6.
pub(crate) const DYNAMIC_PAYLOAD_TYPES: RangeInclusive<u8> = 96..=127;

/// Types that collide with RTCP packet types if RTP and RTCP share a port, which WebRTC requires
/// (RFC 5761 section 4).
pub(crate) const RTCP_PAYLOAD_TYPES: RangeInclusive<u8> = 64..=95;

/// Type inside the pipeline for a track whose own type the elements refuse.
const INTERNAL_PAYLOAD_TYPE: u8 = *DYNAMIC_PAYLOAD_TYPES.start();

/// Makes `payloader`, which is in `pipeline`, send packets of this type. Returns the pad for their
/// output.
///
/// # Errors
/// When an element is missing or does not link.
pub(crate) fn send_as(
    pipeline: &gst::Pipeline,
    payloader: &gst::Element,
    payload_type: u8,
) -> Result<gst::Pad, Error> {
    let direct = DYNAMIC_PAYLOAD_TYPES.contains(&payload_type);
    payloader
        .set_property("pt", u32::from(if direct { payload_type } else { INTERNAL_PAYLOAD_TYPE }));
    if direct {
        return pad(payloader, "src");
    }
    let setter = setter(pipeline, payload_type)?;
    payloader.link(&setter).map_err(|e| Error::build("a payload type", e))?;
    let exit = pad(&setter, "src")?;
    exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut()
            && let Ok(mut packet) = gst_rtp::RTPBuffer::from_buffer_writable(buffer.make_mut())
        {
            packet.set_payload_type(payload_type);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(exit)
}

/// The pad for packets of this type to `depayloader`, which is in `pipeline`. Only the caps change:
/// depayloaders do not check the type of each packet.
///
/// # Errors
/// When an element is missing or does not link.
pub(crate) fn receive_as(
    pipeline: &gst::Pipeline,
    depayloader: &gst::Element,
    payload_type: Option<u8>,
) -> Result<gst::Pad, Error> {
    if payload_type.is_none_or(|payload_type| DYNAMIC_PAYLOAD_TYPES.contains(&payload_type)) {
        return pad(depayloader, "sink");
    }
    let setter = setter(pipeline, INTERNAL_PAYLOAD_TYPE)?;
    setter.link(depayloader).map_err(|e| Error::build("a payload type", e))?;
    setter.sync_state_with_parent().map_err(|e| Error::build("a payload type", e))?;
    pad(&setter, "sink")
}

/// An element that sets this type in RTP caps.
fn setter(pipeline: &gst::Pipeline, payload_type: u8) -> Result<gst::Element, Error> {
    let setter = element("capssetter")?;
    let caps = gst::Caps::builder("application/x-rtp").field("payload", i32::from(payload_type));
    setter.set_property("caps", caps.build());
    pipeline.add(&setter).map_err(|e| Error::build("a payload type", e))?;
    Ok(setter)
}

fn pad(element: &gst::Element, name: &str) -> Result<gst::Pad, Error> {
    element.static_pad(name).ok_or_else(|| Error::build(element.name(), "it has no such pad"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types in packets and caps that an Opus payloader sends.
    fn sent_as(payload_type: u8) -> (u8, i32) {
        gst::init().expect("GStreamer starts");
        let pipeline = gst::parse::launch(
            "audiotestsrc num-buffers=3 ! opusenc ! rtpopuspay name=pay fakesink name=end",
        );
        let pipeline = pipeline.expect("parses").downcast::<gst::Pipeline>().expect("a pipeline");
        let payloader = pipeline.by_name("pay").expect("it is there");
        let exit = send_as(&pipeline, &payloader, payload_type).expect("set up");
        let entry = pad(&pipeline.by_name("end").expect("it is there"), "sink").expect("a sink");
        exit.link(&entry).expect("links");
        let (tell, packet) = std::sync::mpsc::channel();
        entry.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let buffer = info.buffer().expect("a packet");
            let packet = gst_rtp::RTPBuffer::from_buffer_readable(buffer).expect("RTP");
            let caps = pad.current_caps().expect("set");
            let in_caps = caps.structure(0).and_then(|s| s.get::<i32>("payload").ok());
            let _ = tell.send((packet.payload_type(), in_caps.unwrap_or(-1)));
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).expect("plays");
        let found = packet.recv_timeout(std::time::Duration::from_secs(20)).expect("a packet");
        pipeline.set_state(gst::State::Null).expect("stops");
        found
    }

    #[test]
    fn packets_and_caps_have_the_type_that_was_agreed_on() {
        for payload_type in [0, 41, 63, 96, 127] {
            assert_eq!(sent_as(payload_type), (payload_type, i32::from(payload_type)));
        }
    }

    #[test]
    fn a_depayloader_takes_packets_of_any_type() {
        gst::init().expect("GStreamer starts");
        let pipeline = gst::Pipeline::new();
        let caps = "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=63";
        let source = element(&format!("capsfilter caps={caps}")).expect("made");
        let depayloader = element("rtpopusdepay").expect("made");
        pipeline.add_many([&source, &depayloader]).expect("added");
        let exit = pad(&source, "src").expect("a source");
        let direct = exit.link(&pad(&depayloader, "sink").expect("a sink"));
        assert!(direct.is_err(), "the reason for all this");
        let entry = receive_as(&pipeline, &depayloader, Some(63)).expect("set up");
        exit.link(&entry).expect("links");
    }
}
