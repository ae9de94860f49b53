//! Keeps H.264 access units whole that have parameter sets between their slices.
//!
//! `rtph264pay config-interval=-1`, and with it any WHIP or RTSP sender built on GStreamer, repeats
//! the parameter sets before each slice of a key frame. To a depayloader they begin the next access
//! unit (ITU-T H.264 section 7.4.1.2.3): it makes two frames of one, and players show half pictures.

use std::ops::ControlFlow;
use std::sync::Mutex;

use gst::prelude::*;

use crate::media::IgnorePoison;

/// Type of a single-time aggregation packet (RFC 6184 section 5.7.1).
const STAP_A_TYPE: u8 = 24;

/// Type of a fragment (RFC 6184 section 5.8).
const FU_A_TYPE: u8 = 28;

/// Bit of the first octet of a packet with padding (RFC 3550 section 5.1).
const PADDING_MASK: u8 = 0x20;

/// Removes parameter sets that follow a slice of the same access unit from the packets that a
/// depayloader gets.
pub(super) fn keep_whole(depayloader: &gst::Element) {
    let Some(entry) = depayloader.static_pad("sink") else { return };
    let unit = Mutex::new(Unit::default());
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    entry.add_probe(kinds, move |_, info| {
        let mut unit = unit.lock().ignore_poison();
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(packet)) => {
                if let Some(without) = unit.without_repeats(packet) {
                    *packet = without;
                }
            }
            Some(gst::PadProbeData::BufferList(packets)) => {
                packets.make_mut().foreach_mut(|packet, _| {
                    let without = unit.without_repeats(&packet);
                    ControlFlow::Continue(Some(without.unwrap_or(packet)))
                });
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// The access unit whose packets arrive.
#[derive(Debug, Default)]
struct Unit {
    /// RTP timestamp of the last slice.
    sliced: Option<u32>,
}

impl Unit {
    /// The packet without repeated parameter sets; `None` if it has none.
    fn without_repeats(&mut self, packet: &gst::BufferRef) -> Option<gst::Buffer> {
        let map = packet.map_readable().ok()?;
        let rtp = gst_rtp::RTPBuffer::from_buffer_readable(packet).ok()?;
        let (time, payload) = (rtp.timestamp(), rtp.payload().ok()?);
        let mut is_sliced = self.sliced == Some(time);
        let without = strip(payload, &mut is_sliced);
        if is_sliced {
            self.sliced = Some(time);
        }
        let payload = without?;
        let mut bytes = map.get(..header_bytes(&map, rtp.payload_size() as usize)?)?.to_vec();
        *bytes.first_mut()? &= !PADDING_MASK;
        bytes.extend(payload);
        drop(rtp);
        let mut stripped = gst::Buffer::from_mut_slice(bytes);
        let fresh = stripped.get_mut()?;
        fresh.set_flags(packet.flags());
        fresh.set_pts(packet.pts());
        fresh.set_dts(packet.dts());
        Some(stripped)
    }
}

/// Length of the header before a payload of this length.
fn header_bytes(packet: &[u8], payload_bytes: usize) -> Option<usize> {
    let is_padded = packet.first()? & PADDING_MASK != 0;
    let padding_bytes = if is_padded { usize::from(*packet.last()?) } else { 0 };
    packet.len().checked_sub(payload_bytes + padding_bytes)
}

/// A payload without the parameter sets behind a slice; `None` if there are none. Where nothing else
/// is in it, an aggregation of nothing keeps its place in the sequence. `is_sliced`: the access unit
/// has a slice; set if one is in this payload.
fn strip(payload: &[u8], is_sliced: &mut bool) -> Option<Vec<u8>> {
    let header = *payload.first()?;
    match header & 31 {
        STAP_A_TYPE => {
            let mut kept = vec![header];
            let mut rest = payload.get(1..)?;
            while let Some((size, tail)) = rest.split_first_chunk::<2>() {
                let (nal, tail) = tail.split_at_checked(u16::from_be_bytes(*size).into())?;
                if !is_repeat(nal, is_sliced) {
                    kept.extend_from_slice(size);
                    kept.extend_from_slice(nal);
                }
                rest = tail;
            }
            (kept.len() < payload.len()).then_some(kept)
        }
        FU_A_TYPE => {
            is_repeat(payload.get(1..)?, is_sliced);
            None
        }
        _ => is_repeat(payload, is_sliced).then(|| vec![STAP_A_TYPE]),
    }
}

/// Whether a NAL unit is a parameter set (types 7 and 8) behind a slice (types 1 to 5).
fn is_repeat(nal: &[u8], is_sliced: &mut bool) -> bool {
    let kind = nal.first().map_or(0, |header| header & 31);
    *is_sliced |= (1..=5).contains(&kind);
    *is_sliced && matches!(kind, 7 | 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Framing;
    use crate::media::Codec;

    #[test]
    fn parameter_sets_behind_a_slice_are_removed() {
        let stap = |nals: &[&[u8]]| {
            let mut payload = vec![STAP_A_TYPE];
            for nal in nals {
                payload.extend((nal.len() as u16).to_be_bytes());
                payload.extend_from_slice(nal);
            }
            payload
        };
        let (sps, pps, slice, fragment): ([u8; 3], [u8; 2], [u8; 4], [u8; 4]) =
            ([0x67, 1, 2], [0x68, 3], [0x65, 4, 5, 6], [0x7c, 0x85, 7, 8]);
        let mut is_sliced = false;
        assert_eq!(strip(&stap(&[&sps, &pps]), &mut is_sliced), None, "the first ones stay");
        assert_eq!(strip(&fragment, &mut is_sliced), None);
        assert!(is_sliced);
        let rest = strip(&stap(&[&sps, &pps, &slice]), &mut is_sliced);
        assert_eq!(rest, Some(stap(&[&slice])));
        assert_eq!(strip(&stap(&[&sps, &pps]), &mut is_sliced), Some(vec![STAP_A_TYPE]));
        assert_eq!(strip(&sps, &mut is_sliced), Some(vec![STAP_A_TYPE]));
        assert_eq!(strip(&slice, &mut is_sliced), None);
        let whole = stap(&[&sps, &pps, &slice, &pps, &slice]);
        let kept = stap(&[&sps, &pps, &slice, &slice]);
        assert_eq!(strip(&whole, &mut false), Some(kept), "all in one packet");
        assert_eq!(strip(&[STAP_A_TYPE, 0, 9, 1], &mut true), None, "damaged");
        assert_eq!(strip(&[], &mut true), None);
    }

    /// Buffers that a feed gets from a sender built on GStreamer: key frames of two slices.
    fn frames(width: u32, repair: bool) -> usize {
        crate::init().expect("GStreamer starts");
        let parser = Framing::Feed.parser(Codec::H264).expect("it has one");
        let description = format!(
            "videotestsrc num-buffers=8 pattern=white \
             ! video/x-raw,width={width},height=360,framerate=30/1 \
             ! x264enc tune=zerolatency threads=2 key-int-max=2 \
             ! rtph264pay aggregate-mode=zero-latency config-interval=-1 \
             ! rtph264depay name=depay ! {parser} ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&description).expect("it is installed");
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
        if repair {
            keep_whole(&pipeline.by_name("depay").expect("named"));
        }
        let out = pipeline.by_name("out").expect("named");
        let out = out.downcast::<gst_app::AppSink>().expect("an appsink");
        pipeline.set_state(gst::State::Playing).expect("it starts");
        let count = std::iter::from_fn(|| out.pull_sample().ok()).count();
        pipeline.set_state(gst::State::Null).expect("it stops");
        count
    }

    #[test]
    fn key_frames_of_several_slices_stay_whole() {
        assert_eq!(frames(640, false), 12, "the sender makes such frames");
        assert_eq!(frames(640, true), 8, "in one packet each");
        assert_eq!(frames(3840, true), 8);
    }
}
