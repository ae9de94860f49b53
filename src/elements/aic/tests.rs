//! Tests of the elements, alone and in a row.

use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;

use super::{CODEC, HINTS, HINTS_URI, UNAVAILABLE};
use crate::aic::engine::Codec;
use crate::aic::payload::Payload;
use crate::aic::weights;

const MONO: &str = "audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved";

fn start() {
    gst::init().expect("GStreamer starts");
    crate::elements::register().expect("registers");
}

/// The engine, warm and kept so; `None` says why on standard error.
fn engine() -> Option<Codec> {
    let codec = Codec::shared();
    match codec.wait(Duration::from_secs(60)) {
        Ok(()) => Some(codec),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Syllables of a gliding voice, 48 kHz.
fn voice(seconds: f32) -> Vec<f32> {
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
fn buffers(sound: &[f32]) -> impl Iterator<Item = gst::Buffer> {
    sound.chunks(960).enumerate().map(|(at, part)| {
        let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().expect("sole owner").set_pts(super::frames(at as u64));
        buffer
    })
}

fn encoder(settings: &[(&str, &str)]) -> Harness {
    start();
    let mut harness = Harness::new("auralinkaicenccore");
    for (name, value) in settings {
        harness.element().expect("there").set_property_from_str(name, value);
    }
    harness.set_src_caps_str(MONO);
    harness
}

fn payload(buffer: &gst::Buffer) -> Payload {
    Payload::read(&buffer.map_readable().expect("readable")).expect("a payload")
}

/// Everything that comes out of these samples.
fn encode(harness: &mut Harness, sound: &[f32]) -> Vec<gst::Buffer> {
    for buffer in buffers(sound) {
        harness.push(buffer).expect("flows");
    }
    harness.push_event(gst::event::Eos::new());
    std::iter::from_fn(|| harness.try_pull()).collect()
}

#[test]
fn opus_is_sent_where_it_is_asked_for_and_every_frame_once() {
    let mut harness = encoder(&[("codec", "opus")]);
    let sent = encode(&mut harness, &voice(1.01));
    // 51 frames, and one that brings the end out.
    assert_eq!(sent.len(), 52);
    for (at, buffer) in sent.iter().enumerate() {
        assert_eq!(buffer.pts(), Some(super::frames(at as u64)));
        assert!(matches!(payload(buffer), Payload::Opus(_)));
    }
    let caps = harness.sinkpad().expect("there").current_caps().expect("fixed");
    let model = caps.structure(0).expect("one").get::<&str>("model").expect("set");
    assert!(weights::parse(model).is_some(), "{model}");
}

#[test]
fn without_an_engine_opus_is_sent_and_the_bus_hears_why() {
    if Codec::shared().wait(Duration::from_secs(60)).is_ok() {
        eprintln!("skipped: this machine has an engine");
        return;
    }
    let mut harness = encoder(&[("codec", "aic")]);
    let bus = gst::Bus::new();
    harness.element().expect("there").set_bus(Some(&bus));
    let sent = encode(&mut harness, &voice(0.5));
    assert!(sent.iter().all(|b| matches!(payload(b), Payload::Opus(_))));
    let said = std::iter::from_fn(|| bus.pop())
        .filter_map(|m| m.structure().map(|s| s.to_owned()))
        .find(|s| s.name() == CODEC)
        .expect("a message");
    assert_eq!(said.get::<&str>("codec"), Ok("opus"));
    assert_eq!(said.get::<&str>("reason"), Ok("not-there"), "{said}");
}

#[test]
fn packets_have_the_shape_that_was_asked_for() {
    let Some(_engine) = engine() else { return };
    let shape = [
        ("codec", "aic"),
        ("wait", "true"),
        ("stages", "6"),
        ("frames-per-packet", "3"),
        ("redundancy", "2"),
        ("redundant-stages", "2"),
    ];
    let mut harness = encoder(&shape);
    let sent = encode(&mut harness, &voice(1.2));
    assert_eq!(sent.len(), 21, "60 frames and one, three each");
    for (at, buffer) in sent[1..20].iter().enumerate() {
        assert_eq!(buffer.pts(), Some(super::frames(3 * (at as u64 + 1))));
        let Payload::Aic(packet) = payload(buffer) else { panic!("Opus") };
        assert_eq!((packet.frames.len(), packet.redundant.len()), (3, 2));
        assert_eq!((packet.frames[0].stages(), packet.redundant[0].stages()), (6, 2));
    }
}

/// Plays a description to its end; what the appsink `out` got, as one channel.
fn play(description: &str) -> (Vec<f32>, Vec<gst::Structure>) {
    start();
    let pipeline = gst::parse::launch(description).expect("parses");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let mut sound: Vec<f32> = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a buffer");
        let at = buffer.pts().expect("dated").nseconds() * 48 / 1_000_000;
        let map = buffer.map_readable().expect("readable");
        let at = (at as usize).max(sound.len().saturating_sub(48));
        sound.resize(at, 0.0);
        sound.extend(map.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))));
    }
    let bus = pipeline.bus().expect("has one");
    let messages: Vec<gst::Message> = std::iter::from_fn(|| bus.pop()).collect();
    pipeline.set_state(gst::State::Null).expect("stops");
    for message in &messages {
        if let gst::MessageView::Error(error) = message.view() {
            panic!("{error:?}");
        }
    }
    (sound, messages.iter().filter_map(|m| m.structure().map(|s| s.to_owned())).collect())
}

/// By how many milliseconds loudness in `heard` follows that in `said` best.
fn lag(said: &[f32], heard: &[f32]) -> i64 {
    let loudness = |x: &[f32]| -> Vec<f32> {
        x.chunks(48).map(|c| (c.iter().map(|x| x * x).sum::<f32>() / 48.0 + 1e-6).ln()).collect()
    };
    let (said, heard) = (loudness(said), loudness(heard));
    let center = |x: &mut Vec<f32>| {
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        x.iter_mut().for_each(|x| *x -= mean);
    };
    let (mut said, mut heard) = (said, heard);
    center(&mut said);
    center(&mut heard);
    let score = |lag: i64| -> f32 {
        (0..said.len() as i64)
            .filter_map(|at| Some(said[at as usize] * heard.get(usize::try_from(at + lag).ok()?)?))
            .sum()
    };
    (-200..=200).max_by(|a, b| score(*a).total_cmp(&score(*b))).expect("some")
}

/// Speech of the test data, decoded to 48 kHz mono; `None` says why.
fn speech() -> Option<std::path::PathBuf> {
    let root = std::env::var("AURALINK_TEST_DATA").map_or_else(
        |_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        std::path::PathBuf::from,
    );
    let path = root.join("speech/p501-48k/i01_f1.flac");
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
    }
    path.exists().then_some(path)
}

/// Through RTP with so much loss; the lag and the loudness relative to the source.
fn through(encoder: &str, network: &str) -> Option<(i64, f32, Vec<gst::Structure>)> {
    let path = speech()?;
    let source = format!(
        "filesrc location={} ! decodebin ! audioconvert ! audioresample ! {MONO}",
        path.display()
    );
    let (said, _) = play(&format!("{source} ! appsink name=out sync=false"));
    let (heard, messages) = play(&format!(
        "{source} ! auralinkaicenc {encoder} ! rtpaicpay ! {network} ! rtpaicdepay \
         ! auralinkaicdec wait=true ! {MONO} ! appsink name=out sync=false"
    ));
    let length = (heard.len() as f32 - said.len() as f32) / 48.0;
    assert!((-1.0..60.0).contains(&length), "{length} ms longer");
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    Some((lag(&said, &heard), power(&heard) / power(&said), messages))
}

#[test]
fn opus_through_rtp_is_in_time() {
    let Some((lag, power, _)) = through("codec=opus", "identity") else { return };
    assert_eq!(lag, 0);
    assert!((0.8..1.2).contains(&power), "{power}");
}

#[test]
fn voice_through_rtp_is_in_time_also_with_loss() {
    let Some(_engine) = engine() else { return };
    for (encoder, network) in [
        ("stages=12", "identity"),
        ("stages=12 redundancy=2", "identity drop-probability=0.1"),
        ("stages=6 frames-per-packet=3 dtx=true", "identity drop-probability=0.1"),
    ] {
        let encoder = format!("codec=aic wait=true {encoder}");
        let Some((lag, power, _)) = through(&encoder, network) else { return };
        eprintln!("{encoder} {network}: lag {lag} ms, power {power:.2}");
        assert!(lag.abs() <= 5, "{lag} ms");
        assert!(power > 0.02, "{power}");
    }
}
