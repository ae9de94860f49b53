//! Frames from ffmpeg, split as senders split them.

use super::stream_mux::{self, Config, Head};
use crate::fuzz;

/// A frame with this element after its header.
fn framed(element: &[u8]) -> Vec<u8> {
    let header = 0x2b7 << 13 | element.len() as u32;
    let mut frame = header.to_be_bytes()[1..].to_vec();
    frame.extend(element);
    frame
}

/// The beginning of ffmpeg's output for AAC-LC, 48 kHz, stereo; then a frame without configuration.
const CONFIGURED: [u8; 12] = [0x20, 0x00, 0x11, 0x90, 0x18, 1, 2, 3, 4, 5, 6, 7];
const AS_BEFORE: [u8; 9] = [0xa0, 1, 2, 3, 4, 5, 6, 7, 8];

fn harness() -> gst_check::Harness {
    gst::init().expect("GStreamer starts");
    crate::init().expect("it takes them");
    let mut harness = gst_check::Harness::new("auralinkloasparse");
    harness.set_src_caps_str("audio/mpeg,mpegversion=4,stream-format=loas");
    harness
}

fn buffer(bytes: &[u8], pts_ms: Option<u64>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(bytes.to_vec());
    let writable = buffer.get_mut().expect("sole owner");
    writable.set_pts(pts_ms.map(gst::ClockTime::from_mseconds));
    buffer
}

#[test]
fn configurations_are_read() {
    let stereo = Config { rate_hz: 48_000, channels: 2 };
    assert_eq!(stream_mux::head(&framed(&CONFIGURED)), Head::Configured(stereo));
    assert_eq!(stream_mux::head(&framed(&AS_BEFORE)), Head::AsBefore);
    assert_eq!(stream_mux::head(&framed(&[0x20])), Head::Unknown);
    assert_eq!(stream_mux::frame_bytes(&framed(&AS_BEFORE)), Some(12));
    assert_eq!(stream_mux::frame_bytes(&AS_BEFORE), None);
}

#[test]
fn every_frame_comes_out_from_the_first_configuration_on() {
    let mut harness = harness();
    let as_before = framed(&AS_BEFORE);
    let sent = [as_before.clone(), framed(&CONFIGURED), as_before.clone(), as_before].concat();
    // Garbage at the start, and a frame split over two packets.
    harness.push(buffer(&[&[0x56, 1, 2], &sent[..30]].concat(), Some(1000))).expect("it flows");
    harness.push(buffer(&sent[30..], Some(1100))).expect("it flows");
    harness.push_event(gst::event::Eos::new());
    let mut sizes = Vec::new();
    while let Some(frame) = harness.try_pull() {
        sizes.push((frame.size(), frame.duration().map(gst::ClockTime::useconds)));
    }
    assert_eq!(sizes, [(15, Some(21_333)), (12, Some(21_333)), (12, Some(21_333))]);
}

#[test]
fn fuzz_loas() {
    let mut harness = harness();
    fuzz::run("loas", |bytes| {
        harness.push(buffer(bytes, None)).expect("it flows");
        while harness.try_pull().is_some() {}
    });
}
