//! Shared by tests of the elements: a voice, an encoder for it, and the engine if available.

use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;

use crate::aic::engine::Codec;
use crate::aic::payload::Payload;

pub(super) const MONO: &str = "audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved";

pub(super) fn start() {
    gst::init().expect("GStreamer starts");
    crate::init().expect("registers");
}

/// The engine, ready.
pub(super) fn engine() -> Codec {
    let codec = Codec::shared();
    codec.wait(Duration::from_secs(60)).expect("weights of the source tree");
    codec
}

/// Syllables of a gliding voice, at 48 kHz.
pub(super) fn voice(seconds: f32) -> Vec<f32> {
    let mut phase = 0.0_f32;
    let sample = |i: usize| {
        let t = i as f32 / 48_000.0;
        phase += (120.0 + 30.0 * (3.0 * t).sin()) / 48_000.0;
        let harmonics =
            (1..12).map(|h| (std::f32::consts::TAU * phase * h as f32).sin() / h as f32);
        harmonics.sum::<f32>() * 0.15 * (4.0 * t).sin().abs()
    };
    (0..(48_000.0 * seconds) as usize).map(sample).collect()
}

/// 20 ms buffers of one channel.
pub(super) fn buffers(audio: &[f32]) -> impl Iterator<Item = gst::Buffer> {
    audio.chunks(960).enumerate().map(|(at, part)| {
        let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().expect("sole owner").set_pts(super::frames(at as u64));
        buffer
    })
}

pub(super) fn encoder(settings: &[(&str, &str)]) -> Harness {
    start();
    let mut harness = Harness::new("auralinkaicenccore");
    for (name, value) in settings {
        harness.element().expect("there").set_property_from_str(name, value);
    }
    harness.set_src_caps_str(MONO);
    harness
}

pub(super) fn payload(buffer: &gst::Buffer) -> Payload {
    Payload::read(&buffer.map_readable().expect("readable")).expect("a payload")
}

/// All buffers that result from these samples.
pub(super) fn encode(harness: &mut Harness, audio: &[f32]) -> Vec<gst::Buffer> {
    for buffer in buffers(audio) {
        harness.push(buffer).expect("flows");
    }
    harness.push_event(gst::event::Eos::new());
    std::iter::from_fn(|| harness.try_pull()).collect()
}

/// The child of this name in a parsed harness.
pub(super) fn child(harness: &Harness, name: &str) -> gst::Element {
    let element = harness.element().expect("there");
    element.downcast::<gst::Bin>().expect("parsed").by_name(name).expect("named")
}
