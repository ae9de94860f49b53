//! VP9 over WebRTC, with and without spatial layers.
//!
//! A scalable picture (RFC 9628) consists of several frames of increasing size. Decoders other than
//! libvpx show all of them or only the smallest, and containers cannot mark the right one. So a
//! layered stream is decoded on arrival, to the top layer; a stream with a single layer passes
//! unchanged.

use gst::prelude::*;

use crate::flow::{Error, Tracks};
use crate::webrtc::element;

/// Connects a VP9 pad. Reconnects it if it turns out to have layers.
pub(super) fn attach(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    tracks: &Tracks,
    depayloader: &str,
) -> Result<(), Error> {
    let (plain, entry) = chain(pipeline, &[depayloader])?;
    tracks.attach_pad(pipeline, &plain.exit);
    pad.link(&entry).map_err(|e| Error::build("the track", e))?;
    let (weak, tracks) = (pipeline.downgrade(), tracks.clone());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let layers = info.buffer().and_then(|packet| {
            let packet = gst_rtp::RTPBuffer::from_buffer_readable(packet).ok()?;
            spatial_layers(packet.payload().ok()?)
        });
        let (Some(layers @ 2..), Some(pipeline)) = (layers, weak.upgrade()) else {
            return gst::PadProbeReturn::Ok;
        };
        tracks.report.note(format!(
            "VP9 comes in {layers} spatial layers: it is decoded and encoded again, where a single \
             layer would pass untouched"
        ));
        let _ = pad.unlink(&entry);
        tracks.detach_pad(&pipeline, &plain.exit);
        plain.remove(&pipeline);
        if let Err(error) = attach_layered(&pipeline, pad, &tracks) {
            tracks.ignore_pad(&pipeline, pad, "VP9 in layers", &error.to_string());
        }
        gst::PadProbeReturn::Remove
    });
    Ok(())
}

/// Connects a layered stream through libvpx, which decodes the frames of a picture together and
/// outputs the largest.
fn attach_layered(pipeline: &gst::Pipeline, pad: &gst::Pad, tracks: &Tracks) -> Result<(), Error> {
    // The older depayloader (`rtpvp9depay`) takes independent layers for separate pictures and
    // drops them.
    let depayloader = "rtpvp9depay2 request-keyframe=true wait-for-keyframe=true";
    let (layered, entry) = chain(pipeline, &[depayloader, "vp9dec"])?;
    let raw = gst::Caps::new_empty_simple("video/x-raw");
    tracks.attach_pad_with(pipeline, &layered.exit, Some(raw), "VP9 in layers");
    pad.link(&entry).map(|_| ()).map_err(|e| Error::build("the track", e))
}

/// Elements between a pad and a branch.
struct Chain {
    elements: Vec<gst::Element>,
    exit: gst::Pad,
}

impl Chain {
    fn remove(&self, pipeline: &gst::Pipeline) {
        for element in &self.elements {
            element.set_locked_state(true);
            // Both fail only when the pipeline itself is being removed.
            let _ = element.set_state(gst::State::Null);
            let _ = pipeline.remove(element);
        }
    }
}

/// Adds elements to the pipeline. Returns them with the entry pad.
fn chain(pipeline: &gst::Pipeline, descriptions: &[&str]) -> Result<(Chain, gst::Pad), Error> {
    let failed = |e: gst::glib::BoolError| Error::build("the track", e);
    let elements = descriptions.iter().map(|d| element(d)).collect::<Result<Vec<_>, _>>()?;
    pipeline.add_many(&elements).map_err(failed)?;
    gst::Element::link_many(&elements).map_err(failed)?;
    for element in elements.iter().rev() {
        element.sync_state_with_parent().map_err(failed)?;
    }
    let entry = elements.first().and_then(|e| e.static_pad("sink"));
    let exit = elements.last().and_then(|e| e.static_pad("src"));
    let (entry, exit) = entry.zip(exit).ok_or_else(|| Error::build("the track", "no pads"))?;
    Ok((Chain { elements, exit }, entry))
}

/// Number of spatial layers that a packet announces; most packets announce none. It is in the
/// scalability structure after the payload descriptor (RFC 9628 section 4.2).
fn spatial_layers(payload: &[u8]) -> Option<u8> {
    let flag = |bit: u8| payload.first().is_some_and(|first| first & bit != 0);
    let (picture_id, predicted, layers, flexible, structure) =
        (flag(0x80), flag(0x40), flag(0x20), flag(0x10), flag(0x02));
    if !structure {
        return None;
    }
    let mut at = 1;
    if picture_id {
        at += if payload.get(at)? & 0x80 == 0 { 1 } else { 2 };
    }
    if layers {
        at += if flexible { 1 } else { 2 };
    }
    if predicted && flexible {
        // Up to three references; a flag in each announces the next.
        let references = payload.get(at..)?.iter().take(3);
        at += references.take_while(|r| **r & 1 == 1).count().min(2) + 1;
    }
    payload.get(at).map(|first| (first >> 5) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_from_the_scalability_structure() {
        let check = |payload: &[u8], expect: Option<u8>| {
            assert_eq!(spatial_layers(payload), expect, "{payload:02x?}");
        };
        // Chromium's key frames in L3T3_KEY and without layers, and a delta frame.
        check(&[0xaa, 0x92, 0x34, 0x00, 0x07, 0x58, 0, 160, 0, 90], Some(3));
        check(&[0x8a, 0x92, 0x34, 0x18, 0, 160], Some(1));
        check(&[0xe8, 0x92, 0x34, 0x00, 0x07, 0x86], None);
        // Flexible mode with two references.
        check(&[0xfa, 0x12, 0x00, 0x03, 0x02, 0x38], Some(2));
        check(&[0x02], None);
        check(&[], None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(payload: Vec<u8>) {
            spatial_layers(&payload);
        }
    }
}
