//! Tests of the elements, alone and in a row.

use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;
use gst_rtp::prelude::*;

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
    lose(&pipeline);
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

/// Loses one packet of ten at the element `network`: here and there, but in each run the same, and
/// never the first three nor the last two of a sentence of 8 s.
fn lose(pipeline: &gst::Pipeline) {
    let Some(network) = pipeline.by_name("network") else { return };
    let count = std::sync::atomic::AtomicU32::new(0);
    let pad = network.static_pad("src").expect("has one");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let at = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let lost = at > 2 && (at.wrapping_mul(2_654_435_769) >> 16).is_multiple_of(10);
        if lost { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
    });
}

/// Through RTP over this network; the lag and the loudness relative to the source.
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
        ("stages=12 redundancy=2", "identity name=network"),
        ("stages=6 frames-per-packet=3 dtx=true", "identity name=network"),
    ] {
        let encoder = format!("codec=aic wait=true {encoder}");
        let Some((lag, power, _)) = through(&encoder, network) else { return };
        eprintln!("{encoder} {network}: lag {lag} ms, power {power:.2}");
        assert!(lag.abs() <= 5, "{lag} ms");
        assert!(power > 0.02, "{power}");
    }
}

/// The child of that name of a parsed harness.
fn child(harness: &Harness, name: &str) -> gst::Element {
    let element = harness.element().expect("there");
    element.downcast::<gst::Bin>().expect("parsed").by_name(name).expect("named")
}

#[test]
fn hints_are_on_every_fifth_packet_and_their_checksum_is_right() {
    start();
    let mut harness =
        Harness::new_parse("auralinkaicenccore codec=opus ! rtpaicpay name=pay ! rtpaicdepay");
    let hints = gst_rtp::RTPHeaderExtension::create_from_uri(HINTS_URI).expect("registered");
    hints.set_id(3);
    child(&harness, "pay").emit_by_name::<()>("add-extension", &[&hints]);
    harness.set_src_caps_str(MONO);
    let got = encode(&mut harness, &voice(1.0));
    assert!(got.len() >= 50);
    for (at, buffer) in got.iter().enumerate() {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, HINTS).ok();
        let right = meta.as_ref().and_then(|m| m.structure().get::<bool>("checksum-right").ok());
        assert_eq!(right, (at % 5 == 0).then_some(true), "packet {at}");
        if let Some(meta) = meta.filter(|_| right.is_some()) {
            let said = meta.structure();
            assert_eq!(said.get::<&str>("class"), Ok("speech"));
            assert!(said.get::<f64>("loudness-dbfs").is_ok_and(|l| (-90.0..-3.0).contains(&l)));
        }
    }
}

#[test]
fn silence_is_described_and_not_sent() {
    let Some(_engine) = engine() else { return };
    let mut harness = encoder(&[("codec", "aic"), ("wait", "true"), ("dtx", "true")]);
    let hiss = |n: usize| 1e-3 * ((n * 7_919 % 997) as f32 / 498.5 - 1.0);
    let mut sound = voice(1.0);
    sound.extend((0..96_000).map(hiss));
    sound.extend(voice(0.5));
    let sent = encode(&mut harness, &sound);
    let comfort = |b: &&gst::Buffer| matches!(payload(b), Payload::Aic(p) if p.comfort);
    let described: Vec<u64> =
        sent.iter().filter(comfort).map(|b| b.pts().expect("dated").mseconds()).collect();
    assert!((5..=14).contains(&described.len()), "{described:?}");
    assert!(described.windows(2).all(|w| w[1] - w[0] == 160), "{described:?}");
    let resumed: Vec<u64> = sent
        .iter()
        .filter(|b| b.flags().contains(gst::BufferFlags::MARKER))
        .map(|b| b.pts().expect("dated").mseconds())
        .collect();
    assert_eq!(resumed.len(), 1, "{resumed:?}");
    assert!((2_950..3_200).contains(&resumed[0]), "{resumed:?}");
    assert!(sent.len() < 110, "{} packets for 176 frames", sent.len());

    let mut decoder = Harness::new("auralinkaicdec");
    decoder.element().expect("there").set_property("wait", true);
    let caps = harness.sinkpad().expect("there").current_caps().expect("fixed");
    decoder.set_src_caps(caps);
    for buffer in sent {
        decoder.push(buffer).expect("flows");
    }
    let heard: Vec<gst::Buffer> = std::iter::from_fn(|| decoder.try_pull()).collect();
    let gapless = heard.windows(2).all(|w| {
        let end = w[0].pts().expect("dated") + w[0].duration().expect("timed");
        let next = w[1].pts().expect("dated");
        end.max(next) - end.min(next) < gst::ClockTime::from_useconds(100)
    });
    assert!(gapless);
    let stats: gst::Structure = decoder.element().expect("there").property("stats");
    assert_eq!(stats.get::<u64>("concealed"), Ok(0), "{stats}");
    assert!(stats.get::<u64>("comfort").is_ok_and(|n| n > 60), "{stats}");
}

#[test]
fn a_decoder_without_the_senders_weights_says_so_and_goes_on() {
    start();
    let mut harness = Harness::new("auralinkaicdec");
    let bus = gst::Bus::new();
    harness.element().expect("there").set_bus(Some(&bus));
    // No engine of this machine has these.
    harness.set_src_caps_str("audio/x-aic,rate=16000,channels=1,model=(string)01020304");
    let packet = crate::aic::packet::Packet {
        frames: vec![crate::aic::packet::Codes::new(&[1, 2, 3])],
        ..Default::default()
    };
    let has_weights = Codec::shared().model().is_some();
    let unavailable = if has_weights { "model" } else { "not-there" };
    if !has_weights {
        let _ = Codec::shared().wait(Duration::from_secs(60));
    }
    for at in 0..10 {
        let mut buffer = gst::Buffer::from_mut_slice(packet.write().expect("valid"));
        buffer.get_mut().expect("sole owner").set_pts(super::frames(at));
        harness.push(buffer).expect("goes on");
    }
    let said: Vec<gst::Structure> = std::iter::from_fn(|| bus.pop())
        .filter_map(|m| m.structure().map(|s| s.to_owned()))
        .filter(|s| s.name() == UNAVAILABLE)
        .collect();
    assert_eq!(said.len(), 1, "once: {said:?}");
    assert_eq!(said[0].get::<&str>("reason"), Ok(unavailable));
    let length: u64 = std::iter::from_fn(|| harness.try_pull())
        .map(|b| b.duration().expect("timed").mseconds())
        .sum();
    assert!((180..=200).contains(&length), "{length} ms");
}

#[test]
fn a_payload_that_was_altered_is_told_at_once_and_not_played() {
    let mut sender = encoder(&[("codec", "opus")]);
    let sent = encode(&mut sender, &voice(0.5));
    let mut harness = Harness::new("auralinkaicdec");
    let bus = gst::Bus::new();
    harness.element().expect("there").set_bus(Some(&bus));
    harness.set_src_caps_str("audio/x-aic,rate=16000,channels=1");
    for (at, buffer) in sent.into_iter().enumerate() {
        let mut buffer = buffer.copy();
        if at % 5 == 0 {
            let writable = buffer.get_mut().expect("sole owner");
            let meta = gst::meta::CustomMeta::from_mut_buffer(writable, HINTS);
            meta.expect("has one").mut_structure().set("checksum-right", at != 10);
        }
        harness.push(buffer).expect("goes on");
    }
    let said: Vec<gst::Structure> = std::iter::from_fn(|| bus.pop())
        .filter_map(|m| m.structure().map(|s| s.to_owned()))
        .filter(|s| s.name() == UNAVAILABLE)
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].get::<&str>("reason"), Ok("checksum"));
    let stats: gst::Structure = harness.element().expect("there").property("stats");
    assert_eq!(stats.get::<u64>("damaged"), Ok(1), "{stats}");
    assert_eq!(stats.get::<u64>("recovered"), Ok(1), "the next one repeats it: {stats}");
}

#[test]
fn a_change_of_codec_is_no_jump() {
    let Some(_engine) = engine() else { return };
    start();
    let mut harness = Harness::new_parse(
        "auralinkaicenccore name=enc codec=aic wait=true ! auralinkaicdec name=dec wait=true",
    );
    harness.set_src_caps_str(MONO);
    let enc = child(&harness, "enc");
    for (at, buffer) in buffers(&voice(4.0)).enumerate() {
        match at {
            60 | 140 => enc.set_property("codec", "opus"),
            100 | 170 => enc.set_property("codec", "aic"),
            _ => {}
        }
        harness.push(buffer).expect("flows");
    }
    let (mut sound, mut end) = (Vec::new(), gst::ClockTime::ZERO);
    while let Some(buffer) = harness.try_pull() {
        let pts = buffer.pts().expect("dated");
        assert!(end.max(pts) - end.min(pts) < gst::ClockTime::from_useconds(100), "{pts}");
        end = pts + buffer.duration().expect("timed");
        let channels = 2;
        let map = buffer.map_readable().expect("readable");
        let sample = |b: &[u8]| f32::from_le_bytes(b[..4].try_into().expect("four"));
        sound.extend(map.chunks_exact(4 * channels).map(sample));
    }
    let stats: gst::Structure = enc.property("stats");
    assert!(stats.get::<u64>("opus").is_ok_and(|n| n >= 70), "{stats}");
    // The steepest step near a change is not much steeper than elsewhere (a jump would be ten
    // times as steep).
    let steps: Vec<f32> = sound.windows(2).map(|w| (w[1] - w[0]).abs()).collect();
    let near = |at: usize| [60, 100, 140, 170].iter().any(|c| (at / 960).abs_diff(*c) <= 2);
    let steepest = |wanted: bool| {
        let of = steps.iter().enumerate().filter(|(at, _)| near(*at) == wanted);
        of.map(|(_, s)| *s).fold(0.0, f32::max)
    };
    let (there, elsewhere) = (steepest(true), steepest(false));
    eprintln!("steepest step {there} at a change, {elsewhere} elsewhere");
    assert!(there < 4.0 * elsewhere, "{there} at a change, {elsewhere} elsewhere");
}

#[test]
fn opus_may_share_a_packet_and_what_is_lost_comes_again_with_the_next() {
    let settings = [("codec", "opus"), ("opus-frames", "3"), ("opus-bitrate", "16000")];
    let mut sender = encoder(&settings);
    sender.element().expect("there").set_property("opus-loss", 20_u32);
    let sent = encode(&mut sender, &voice(3.0));
    assert!((51..60).contains(&sent.len()), "{} packets for 151 frames", sent.len());
    let mut harness = Harness::new("auralinkaicdec");
    harness.set_src_caps_str("audio/x-aic,rate=16000,channels=1");
    let lost = [20, 30, 40];
    for (at, buffer) in sent.into_iter().enumerate() {
        if !lost.contains(&at) {
            harness.push(buffer).expect("flows");
        }
    }
    let heard = std::iter::from_fn(|| harness.try_pull());
    let length: u64 = heard.map(|b| b.duration().expect("timed").mseconds()).sum();
    assert!((2_970..=3_020).contains(&length), "{length} ms");
    let stats: gst::Structure = harness.element().expect("there").property("stats");
    assert_eq!(stats.get::<u64>("recovered"), Ok(3), "{stats}");
    assert_eq!(stats.get::<u64>("concealed"), Ok(6), "{stats}");
}
