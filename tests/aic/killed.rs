//! The engine is killed in the middle of a call.

use std::time::{Duration, Instant};

use auralink::aic::engine::Codec;
use gst::prelude::*;

use crate::alone;

const CALL: &str = "audiotestsrc is-live=true wave=pink-noise volume=0.3 samplesperbuffer=960 \
    ! audio/x-raw,rate=48000,channels=1 ! auralinkaicenc name=enc codec=aic deadline=100 \
    ! rtpaicpay ! rtpaicdepay ! auralinkaicdec deadline=100 \
    ! audio/x-raw,format=F32LE,channels=1 ! appsink name=out sync=false";

/// Longest permitted gap.
const HOLE_MAX: Duration = Duration::from_millis(200);

/// Output of the decoder: arrival, timestamp and loudness.
struct Received {
    at: Instant,
    pts: Duration,
    length: Duration,
    loudness: f32,
}

/// Waits for the encoder's message that it uses this codec.
fn codec_is(bus: &gst::Bus, codec: &str, limit: Duration) -> gst::Structure {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = gst::ClockTime::try_from(left).expect("fits");
        let message = bus
            .timed_pop_filtered(left, &[gst::MessageType::Element, gst::MessageType::Error])
            .unwrap_or_else(|| panic!("no change to {codec} within {limit:?}"));
        assert!(message.type_() != gst::MessageType::Error, "{message:?}");
        let said = message.structure().expect("has one");
        if said.name() == "aic-codec" && said.get::<&str>("codec") == Ok(codec) {
            return said.to_owned();
        }
    }
}

#[test]
fn a_killed_engine_leaves_a_short_gap_and_comes_back() {
    let _alone = alone();
    let codec = Codec::shared();
    if let Err(error) = codec.wait(Duration::from_secs(60)) {
        crate::needs::skip(format!("the engine of AIC-A: {error}"));
        return;
    }
    let pipeline = gst::parse::launch(CALL).expect("parses");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    let (sender, heard) = std::sync::mpsc::channel();
    let took = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().expect("a buffer");
        let map = buffer.map_readable().expect("readable");
        let samples = map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let power: f32 = samples.map(|x| x * x).sum();
        let _ = sender.send(Received {
            at: Instant::now(),
            pts: buffer.pts().expect("dated").into(),
            length: buffer.duration().expect("timed").into(),
            loudness: (power / (map.len() / 4).max(1) as f32).sqrt(),
        });
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(took).build());
    let bus = pipeline.bus().expect("has one");
    pipeline.set_state(gst::State::Playing).expect("plays");
    codec_is(&bus, "aic", Duration::from_secs(60));
    // A second of the call before the kill.
    let before: Vec<Received> = (0..50).map(|_| heard.recv().expect("flows")).collect();

    let child = codec.process_id().expect("it runs");
    let killed = Instant::now();
    let pid = rustix::process::Pid::from_raw(child as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is killed");
    let said = codec_is(&bus, "opus", Duration::from_secs(5));
    let switched = killed.elapsed();
    assert_eq!(said.get::<&str>("reason"), Ok("died"), "{said}");
    assert!(switched < HOLE_MAX, "{switched:?}");

    codec_is(&bus, "aic", Duration::from_secs(60));
    let back = killed.elapsed();
    assert_ne!(codec.process_id(), Some(child));
    let enc = pipeline.by_name("enc").expect("there");
    eprintln!(
        "Opus after {switched:?}, AIC-A again after {back:?}; {:?}",
        enc.property_value("stats")
    );
    pipeline.set_state(gst::State::Null).expect("stops");

    let heard: Vec<Received> = before.into_iter().chain(heard.try_iter()).collect();
    let (mut silent, mut longest, mut wait) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for pair in heard.windows(2) {
        let end = pair[0].pts + pair[0].length;
        assert!(pair[1].pts.abs_diff(end) < Duration::from_millis(2), "a jump at {end:?}");
        wait = wait.max(pair[1].at - pair[0].at);
        silent = if pair[1].loudness < 1e-3 { silent + pair[1].length } else { Duration::ZERO };
        longest = longest.max(silent);
    }
    eprintln!("longest silence {longest:?}, longest wait for a buffer {wait:?}");
    assert!(longest < HOLE_MAX, "{longest:?} of silence");
    assert!(wait < HOLE_MAX + Duration::from_millis(20), "no buffer for {wait:?}");
}
