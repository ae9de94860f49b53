//! Tests of both elements.

use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;

use super::SPEECH;

const MONO: &str = "audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved";

fn harness(caps: &str) -> Harness {
    gst::init().expect("GStreamer starts");
    crate::init().expect("registers");
    let mut harness = Harness::new("auralinkdenoisecore");
    harness.element().expect("there").set_property_from_str("engine", "rnnoise");
    harness.set_src_caps_str(caps);
    harness
}

/// The same with DeepFilterNet; `None`, noted, where it is not installed.
fn harness_dfn3(caps: &str) -> Option<Harness> {
    let folders = crate::needs::model_folders();
    let models = crate::models::Registry::over(folders.clone(), None).expect("manifests read");
    if let Err(why) = crate::speech::denoise::locate(&models) {
        crate::needs::skip(format!("DeepFilterNet: {why}"));
        return None;
    }
    let harness = harness(caps);
    let element = harness.element().expect("there");
    element.set_property_from_str("engine", "dfn3");
    element.set_property("wait", true);
    let folders = std::env::join_paths(folders).expect("paths without a colon");
    element.set_property("models", folders.to_str().expect("UTF-8"));
    Some(harness)
}

fn tone(at: usize, count: usize) -> Vec<f32> {
    (at..at + count).map(|n| 0.2 * (n as f32 * 0.05).sin()).collect()
}

fn buffer(samples: &[f32], pts: gst::ClockTime) -> gst::Buffer {
    let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    buffer.get_mut().expect("sole owner").set_pts(pts);
    buffer
}

fn samples(buffer: &gst::Buffer) -> Vec<f32> {
    let map = buffer.map_readable().expect("readable");
    map.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect()
}

/// Time of this number of samples.
fn at(samples: usize) -> gst::ClockTime {
    gst::ClockTime::from_nseconds((samples as u64 * 1_000_000_000 + 24_000) / 48_000)
}

/// All output so far: start, samples, discontinuity.
fn pull_all(harness: &mut Harness) -> Vec<(gst::ClockTime, Vec<f32>, bool)> {
    std::iter::from_fn(|| harness.try_pull())
        .map(|b| {
            let discont = b.flags().contains(gst::BufferFlags::DISCONT);
            (b.pts().expect("dated"), samples(&b), discont)
        })
        .collect()
}

fn apart(a: gst::ClockTime, b: gst::ClockTime) -> gst::ClockTime {
    a.max(b) - a.min(b)
}

#[test]
fn timestamps_stay_with_their_samples_whatever_the_buffer_size() {
    let mut harness = harness(MONO);
    harness.element().expect("there").set_property("enabled", false);
    let start = 90_000;
    let mut pushed = 0;
    for size in [1, 1024, 480, 441, 5_000, 33, 960] {
        let part = tone(pushed, size);
        harness.push(buffer(&part, at(start + pushed))).expect("flows");
        pushed += size;
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    let mut heard = Vec::new();
    for (pts, part, _) in pull_all(&mut harness) {
        let expected = at(start + heard.len());
        assert!(apart(pts, expected) <= gst::ClockTime::from_useconds(1), "{pts} for {expected}");
        heard.extend(part);
    }
    assert_eq!(heard, tone(0, pushed), "every sample once, in its place, drained at the end");
}

#[test]
fn a_gap_in_time_is_kept() {
    let mut harness = harness(MONO);
    harness.push(buffer(&tone(0, 4_800), at(0))).expect("flows");
    harness.push(buffer(&tone(0, 4_800), at(48_000))).expect("flows");
    assert!(harness.push_event(gst::event::Eos::new()));
    let heard = pull_all(&mut harness);
    let before: usize =
        heard.iter().filter(|(t, ..)| *t < at(4_801)).map(|(_, s, _)| s.len()).sum();
    assert_eq!(before, 4_800, "what came before the gap came out before it");
    let (first, _, discont) = heard.iter().find(|(t, ..)| *t > at(4_801)).expect("after the gap");
    assert_eq!((*first, *discont), (at(48_000), true));
}

#[test]
fn a_gap_event_lets_out_what_came_before() {
    let mut harness = harness(MONO);
    harness.push(buffer(&tone(0, 700), at(0))).expect("flows");
    assert!(harness.push_event(gst::event::Gap::builder(at(700)).duration(at(480)).build()));
    let heard: usize = pull_all(&mut harness).iter().map(|(_, s, _)| s.len()).sum();
    assert_eq!(heard, 700);
}

#[test]
fn jitter_is_not_a_gap() {
    let mut harness = harness(MONO);
    for n in 0..20 {
        let jitter = at(if n % 2 == 0 { 0 } else { 480 });
        harness.push(buffer(&tone(n * 960, 960), at(n * 960) + jitter)).expect("flows");
    }
    let disconts = pull_all(&mut harness).iter().filter(|(.., discont)| *discont).count();
    assert_eq!(disconts, 1, "the first one only");
}

#[test]
fn a_change_of_channels_drains_the_old_ones() {
    let mut harness = harness(MONO);
    harness.push(buffer(&tone(0, 700), at(0))).expect("flows");
    harness.set_src_caps_str(&MONO.replace("channels=1", "channels=2"));
    let heard: usize = pull_all(&mut harness).iter().map(|(_, s, _)| s.len()).sum();
    assert_eq!(heard, 700);
    harness.push(buffer(&[0.1; 2_400], at(700))).expect("flows");
    assert!(harness.push_event(gst::event::Eos::new()));
    let heard: usize = pull_all(&mut harness).iter().map(|(_, s, _)| s.len()).sum();
    assert_eq!(heard, 2_400);
}

#[test]
fn latency_is_reported_on_top_of_upstream() {
    let mut harness = harness(MONO);
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(7));
    harness.push(buffer(&tone(0, 960), at(0))).expect("flows");
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(27)));
}

#[test]
fn a_change_of_the_latency_is_posted() {
    let Some(mut harness) = harness_dfn3(MONO) else { return };
    let (bus, element) = (gst::Bus::new(), harness.element().expect("there"));
    element.set_bus(Some(&bus));
    let posted = || std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Latency])).count();
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(7));
    harness.push(buffer(&tone(0, 9_600), at(0))).expect("flows");
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(47)));
    assert_eq!(posted(), 1);
    element.set_property_from_str("engine", "rnnoise");
    harness.push(buffer(&tone(9_600, 9_600), at(9_600))).expect("flows");
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(27)));
    assert_eq!(posted(), 1);
    assert!(harness.push_event(gst::event::Eos::new()));
    let mut heard = 0;
    for (pts, part, _) in pull_all(&mut harness) {
        assert!(apart(pts, at(heard)) <= gst::ClockTime::from_useconds(1), "{pts} for {heard}");
        heard += part.len();
    }
    assert_eq!(heard, 19_200, "every sample once, in its place");
}

#[test]
fn the_engine_that_is_heard_is_posted() {
    let mut harness = harness(MONO);
    let (bus, element) = (gst::Bus::new(), harness.element().expect("there"));
    element.set_bus(Some(&bus));
    element.set_property_from_str("engine", "auto");
    element.set_property("models", "");
    harness.push(buffer(&tone(0, 9_600), at(0))).expect("flows");
    let message = bus.pop_filtered(&[gst::MessageType::Element]).expect("posted");
    let posted = message.structure().expect("it has one");
    assert_eq!(posted.get::<&str>("engine"), Ok("rnnoise"));
    assert_eq!(posted.get::<u64>("fallbacks"), Ok(0));
    let off: &str = posted.get("off").expect("it is not installed in no folder");
    assert!(off.contains("auralink models pull deepfilternet3"), "{off}");
}

#[test]
fn speech_probability_comes_by_message_meta_and_property() {
    let mut harness = harness(MONO);
    let bus = gst::Bus::new();
    harness.element().expect("there").set_bus(Some(&bus));
    for n in 0..100 {
        harness.push(buffer(&tone(n * 480, 480), at(n * 480))).expect("flows");
        if let Some(out) = harness.try_pull() {
            let meta = gst::meta::CustomMeta::from_buffer(&out, SPEECH).expect("on every buffer");
            let probability: f64 = meta.structure().get("probability").expect("set");
            assert!((0.0..=1.0).contains(&probability));
        }
    }
    let messages: Vec<_> = std::iter::from_fn(|| bus.pop())
        .filter_map(|m| m.structure().map(|s| s.to_owned()))
        .filter(|s| s.name() == SPEECH)
        .collect();
    assert_eq!(messages.len(), 10, "one each 100 ms of the 990 ms that came out");
    let times: Vec<u64> = messages.iter().map(|s| s.get("running-time").expect("set")).collect();
    assert!(times.windows(2).all(|w| w[1] - w[0] == 100_000_000), "{times:?}");
    let last: f32 = harness.element().expect("there").property("speech-probability");
    assert!((0.0..=1.0).contains(&last));
}

/// Plays a description to its end and returns the frames that the sink got.
fn play(description: &str) -> (usize, gst::Caps) {
    gst::init().expect("GStreamer starts");
    crate::init().expect("registers");
    let pipeline = gst::parse::launch(description).expect("parses");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let (mut frames, mut caps) = (0, None);
    let wait = gst::ClockTime::from_seconds(20);
    while let Some(sample) = sink.try_pull_sample(wait) {
        let info = gst_audio::AudioInfo::from_caps(sample.caps().expect("caps")).expect("sound");
        frames += sample.buffer().expect("buffer").size() / info.bpf() as usize;
        caps = sample.caps_owned();
    }
    assert!(sink.is_eos(), "{description}: it did not end within {:?}", Duration::from(wait));
    pipeline.set_state(gst::State::Null).expect("stops");
    (frames, caps.expect("something came"))
}

#[test]
fn the_bin_takes_and_gives_any_rate_and_format() {
    let check = |from: &str, to: &str, expect: usize| {
        let description = format!(
            "audiotestsrc num-buffers=50 samplesperbuffer=441 ! audio/x-raw,{from} \
             ! auralinkdenoise ! audio/x-raw,{to} ! appsink name=out sync=false"
        );
        let (frames, caps) = play(&description);
        // A resampler rounds at both ends.
        assert!(frames.abs_diff(expect) <= 8, "{from} to {to}: {frames} frames, not {expect}");
        let wanted: gst::Caps = format!("audio/x-raw,{to}").parse().expect("caps");
        assert!(caps.is_subset(&wanted), "{caps}");
    };
    check("format=S16LE,rate=44100,channels=2", "format=S16LE,rate=44100", 50 * 441);
    check("format=S16LE,rate=8000,channels=1", "format=F32LE,rate=48000", 50 * 441 * 6);
    check("format=S24BE,rate=96000,channels=6", "format=F32LE,rate=48000,channels=2", 25 * 441);
    check("format=F32LE,rate=48000,channels=1", "format=F32LE,rate=48000,channels=1", 50 * 441);
}

/// An audio file as mono floats at 48 kHz.
fn load(path: &std::path::Path) -> Vec<f32> {
    let description = format!(
        "filesrc location={} ! decodebin ! audioconvert ! audioresample \
         ! audio/x-raw,format=F32LE,rate=48000,channels=1 ! appsink name=out sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&description).expect("parses");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let mut heard = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        heard.extend(samples(&sample.buffer_owned().expect("a buffer")));
    }
    pipeline.set_state(gst::State::Null).expect("stops");
    heard
}

/// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019).
fn si_sdr(reference: &[f32], heard: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let target = dot(reference, heard).powi(2) / dot(reference, reference);
    10.0 * (target / (dot(heard, heard) - target)).log10()
}

/// Speech of the test data and the same in noise, for each of these levels in dB; `None`, noted,
/// without the data.
fn speech_in_noise<const N: usize>(snrs_db: [f32; N]) -> Option<(Vec<f32>, [Vec<f32>; N])> {
    let speech = crate::needs::test_data("speech")?;
    let data = speech.parent().expect("a part of the data");
    gst::init().expect("GStreamer starts");
    let speech = load(&data.join("speech/p501-48k/i01_f1.flac"));
    let noise = load(&data.join("noise/esc10/helicopter-1-172649-A.ogg"));
    let noise: Vec<f32> = noise.iter().copied().cycle().take(speech.len()).collect();
    let power = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>();
    let level = (power(&speech) / power(&noise)).sqrt();
    let mixes = snrs_db.map(|snr_db| {
        let gain = level * 10_f32.powf(-snr_db / 20.0);
        speech.iter().zip(&noise).map(|(s, n)| s + gain * n).collect()
    });
    Some((speech, mixes))
}

/// What comes out for these samples.
fn clean(mut harness: Harness, samples: &[f32]) -> Vec<f32> {
    for (n, part) in samples.chunks(960).enumerate() {
        harness.push(buffer(part, at(n * 960))).expect("flows");
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    let heard: Vec<f32> = pull_all(&mut harness).into_iter().flat_map(|(_, s, _)| s).collect();
    assert_eq!(heard.len(), samples.len());
    heard
}

#[test]
fn speech_in_noise_becomes_clearer() {
    let snrs_db = [0.0, 5.0];
    let Some((speech, mixes)) = speech_in_noise(snrs_db) else { return };
    for ((mixed, snr_db), margin_db) in mixes.iter().zip(snrs_db).zip([4.0, 2.5]) {
        let heard = clean(harness(MONO), mixed);
        let (before, after) = (si_sdr(&speech, mixed), si_sdr(&speech, &heard));
        assert!(
            after - before > margin_db,
            "at {snr_db} dB: {before:.1} dB before, {after:.1} dB after"
        );
    }
}

#[test]
fn deepfilternet_makes_speech_clearer_than_rnnoise() {
    let snrs_db = [0.0, 5.0, 10.0];
    let Some((speech, mixes)) = speech_in_noise(snrs_db) else { return };
    for (mixed, snr_db) in mixes.iter().zip(snrs_db) {
        let Some(dfn3) = harness_dfn3(MONO) else { return };
        let by_dfn3 = si_sdr(&speech, &clean(dfn3, mixed));
        let by_rnnoise = si_sdr(&speech, &clean(harness(MONO), mixed));
        assert!(by_dfn3 > by_rnnoise, "at {snr_db} dB: {by_dfn3:.1} and {by_rnnoise:.1} dB");
    }
}
