//! Key frames of real encoders.

use gst::prelude::*;

use super::starts::Starts;
use crate::media::Codec;
use auralink_sfu::Packet;

/// The RTP packets that these elements make.
fn packets(description: &str) -> Vec<Packet> {
    crate::init().expect("GStreamer starts");
    crate::webrtc::register();
    let pipeline = gst::parse::launch(&format!("{description} ! appsink name=out sync=false"));
    let pipeline = pipeline.expect("installed").downcast::<gst::Pipeline>().expect("a pipeline");
    let out = pipeline.by_name("out").expect("named");
    let out = out.downcast::<gst_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let samples = std::iter::from_fn(|| out.pull_sample().ok());
    let packet = |sample: gst::Sample| {
        let map = sample.buffer()?.map_readable().ok()?;
        Packet::parse(&map, std::time::Instant::now(), false)
    };
    let found = samples.filter_map(packet).collect();
    pipeline.set_state(gst::State::Null).expect("it stops");
    found
}

#[test]
fn each_key_frame_has_one_start_which_is_its_first_packet() {
    let encoders = [
        (Codec::H264, "x264enc tune=zerolatency key-int-max=4 ! rtph264pay config-interval=-1"),
        (
            Codec::H264,
            "x264enc tune=zerolatency key-int-max=4 aud=false ! h264parse config-interval=-1 ! rtph264pay aggregate-mode=zero-latency",
        ),
        (Codec::Vp8, "vp8enc deadline=1 keyframe-max-dist=4 ! rtpvp8pay picture-id-mode=15-bit"),
        (Codec::Vp8, "vp8enc deadline=1 keyframe-max-dist=4 ! rtpvp8pay"),
        (Codec::Vp9, "vp9enc deadline=1 keyframe-max-dist=4 ! rtpvp9pay picture-id-mode=15-bit"),
        (
            Codec::Av1,
            "av1enc usage-profile=realtime cpu-used=10 keyframe-max-dist=4 ! av1parse ! rtpav1pay",
        ),
    ];
    for (codec, encoder) in encoders {
        let source = "videotestsrc num-buffers=12 pattern=smpte75 ! video/x-raw,width=640,height=360,framerate=30/1";
        let packets = packets(&format!("{source} ! {encoder}"));
        let mut starts = Starts::default();
        let mut found = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            if starts.is_start(codec, packet.time(), packet.payload()) {
                found.push(packet.time());
                let of_frame = packets[..index].iter().filter(|p| p.time() == packet.time());
                // A decoder does without the delimiter and the remarks of an encoder before it.
                let spare =
                    |p: &Packet| codec == Codec::H264 && matches!(p.payload()[0] & 31, 6 | 9);
                let lost = of_frame.filter(|p| !spare(p)).count();
                assert_eq!(lost, 0, "{encoder}: packet {index} is not the first of its frame");
            }
        }
        found.dedup();
        assert_eq!(found.len(), 3, "{encoder}: {found:?}");
    }
}

#[test]
fn payloads_that_are_cut_off_are_no_starts() {
    let h264: [&[u8]; 4] = [&[], &[24], &[24, 0, 2, 7], &[28]];
    let vp8: [&[u8]; 4] = [&[], &[0x10], &[0x90, 0x80], &[0x90, 0x80, 0x80, 1]];
    for (codec, payloads) in [(Codec::H264, h264), (Codec::Vp8, vp8)] {
        for payload in payloads {
            assert!(!Starts::default().is_start(codec, 0, payload), "{codec}: {payload:?}");
        }
    }
}
