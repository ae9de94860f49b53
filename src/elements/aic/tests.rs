//! Tests of the elements in sequence.

use gst::prelude::*;
use gst_check::Harness;

use super::testing::{MONO, buffers, child, encode, encoder, engine, payload, start, voice};
use crate::aic::payload::Payload;

/// Plays a description to its end; returns what the appsink `out` got, as one channel.
fn play(description: &str) -> (Vec<f32>, Vec<gst::Structure>) {
    start();
    let pipeline = gst::parse::launch(description).expect("parses");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    lose(&pipeline);
    pipeline.set_state(gst::State::Playing).expect("plays");
    let mut audio: Vec<f32> = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a buffer");
        let at = buffer.pts().expect("dated").nseconds() * 48 / 1_000_000;
        let map = buffer.map_readable().expect("readable");
        let at = (at as usize).max(audio.len().saturating_sub(48));
        audio.resize(at, 0.0);
        audio.extend(map.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))));
    }
    let bus = pipeline.bus().expect("has one");
    let messages: Vec<gst::Message> = std::iter::from_fn(|| bus.pop()).collect();
    pipeline.set_state(gst::State::Null).expect("stops");
    for message in &messages {
        if let gst::MessageView::Error(error) = message.view() {
            panic!("{error:?}");
        }
    }
    (audio, messages.iter().filter_map(|m| m.structure().map(|s| s.to_owned())).collect())
}

/// The delay in milliseconds at which loudness in `heard` best matches that in `said`.
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

/// Speech of the test data, decoded to 48 kHz mono; `None`, with a message, if it is missing.
fn speech() -> Option<std::path::PathBuf> {
    crate::needs::test_data("speech/p501-48k/i01_f1.flac")
}

/// Drops one packet of ten at the element `network`: the same ones in each run, and never the first
/// three nor the last two of a sentence of 8 s.
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

/// Sends speech by RTP over this network; returns lag and loudness relative to the source.
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
    engine();
    for (encoder, network) in [
        ("stages=33", "identity"),
        ("stages=33 redundancy=2", "identity name=network"),
        ("stages=18 frames-per-packet=3 dtx=true", "identity name=network"),
        ("stages=14 frames-per-packet=2 constant-size=true", "identity name=network"),
    ] {
        let encoder = format!("codec=aic wait=true {encoder}");
        let Some((lag, power, _)) = through(&encoder, network) else { return };
        eprintln!("{encoder} {network}: lag {lag} ms, power {power:.2}");
        assert!(lag.abs() <= 5, "{lag} ms");
        assert!(power > 0.02, "{power}");
    }
}

#[test]
fn silence_is_described_and_not_sent() {
    engine();
    let mut harness = encoder(&[("codec", "aic"), ("wait", "true"), ("dtx", "true")]);
    let hiss = |n: usize| 1e-3 * ((n * 7_919 % 997) as f32 / 498.5 - 1.0);
    let mut audio = voice(1.0);
    audio.extend((0..96_000).map(hiss));
    audio.extend(voice(0.5));
    let sent = encode(&mut harness, &audio);
    let comfort = |b: &&gst::Buffer| matches!(payload(b), Payload::Aic(p) if p.header().comfort);
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
fn a_change_of_codec_is_no_jump() {
    engine();
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
    let (mut audio, mut end) = (Vec::new(), gst::ClockTime::ZERO);
    while let Some(buffer) = harness.try_pull() {
        let pts = buffer.pts().expect("dated");
        assert!(end.max(pts) - end.min(pts) < gst::ClockTime::from_useconds(100), "{pts}");
        end = pts + buffer.duration().expect("timed");
        let channels = 2;
        let map = buffer.map_readable().expect("readable");
        let sample = |b: &[u8]| f32::from_le_bytes(b[..4].try_into().expect("four"));
        audio.extend(map.chunks_exact(4 * channels).map(sample));
    }
    let stats: gst::Structure = enc.property("stats");
    assert!(stats.get::<u64>("opus").is_ok_and(|n| n >= 70), "{stats}");
    // The steepest step near a change is not much steeper than elsewhere (a jump would be ten
    // times as steep).
    let steps: Vec<f32> = audio.windows(2).map(|w| (w[1] - w[0]).abs()).collect();
    let near = |at: usize| [60, 100, 140, 170].iter().any(|c| (at / 960).abs_diff(*c) <= 2);
    let steepest = |wanted: bool| {
        let of = steps.iter().enumerate().filter(|(at, _)| near(*at) == wanted);
        of.map(|(_, s)| *s).fold(0.0, f32::max)
    };
    let (there, elsewhere) = (steepest(true), steepest(false));
    eprintln!("steepest step {there} at a change, {elsewhere} elsewhere");
    assert!(there < 4.0 * elsewhere, "{there} at a change, {elsewhere} elsewhere");
}
