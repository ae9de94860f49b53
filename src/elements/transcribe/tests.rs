//! The element in a harness and in a pipeline.

use std::path::PathBuf;

use gst::prelude::*;

use super::{CUE, ENGINE};
use crate::media::Cue;
use crate::needs::{skip, test_data};

fn init() {
    gst::init().expect("GStreamer starts");
    crate::init().expect("our elements register");
}

fn speech() -> Option<PathBuf> {
    if crate::speech::engine::program().is_none() {
        skip("the program auralink beside the tests");
        return None;
    }
    test_data("speech/librispeech/27-123349-0020.flac")
}

#[test]
fn silence_becomes_gaps_and_the_end_arrives() {
    init();
    let mut harness = gst_check::Harness::new_parse("auralinktranscribe wait=true engines=openai");
    harness.set_src_caps_str("audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved");
    harness.play();
    for n in 0..100 {
        let mut buffer = gst::Buffer::from_slice([0_u8; 640]);
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(20 * n));
        assert_eq!(harness.push(buffer), Ok(gst::FlowSuccess::Ok));
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    let mut kinds = Vec::new();
    let mut silent = gst::ClockTime::ZERO;
    while kinds.last() != Some(&gst::EventType::Eos) {
        let event = harness.pull_event().expect("events up to the end");
        kinds.push(event.type_());
        if let gst::EventView::Gap(gap) = event.view() {
            let (from, length) = gap.get();
            assert_eq!(from, silent, "gaps join");
            silent = from + length.expect("each gap has a length");
        }
    }
    let at = |kind| kinds.iter().position(|k| *k == kind).expect("it came");
    assert!(at(gst::EventType::StreamStart) < at(gst::EventType::Caps));
    assert!(at(gst::EventType::Caps) < at(gst::EventType::Segment));
    assert!(harness.try_pull().is_none(), "no text");
}

#[test]
fn a_wrong_language_is_refused() {
    init();
    let element = gst::ElementFactory::make("auralinktranscribe").build().expect("it is there");
    element.set_property("language-code", "English!");
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn latency_is_what_the_property_says() {
    init();
    let mut harness = gst_check::Harness::new_parse("auralinktranscribe latency=1500 lateness=500");
    harness.set_src_caps_str("audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved");
    harness.play();
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_seconds(2)));
}

#[test]
fn speech_becomes_text_with_its_time() {
    init();
    let Some(file) = speech() else { return };
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! decodebin ! audioconvert ! audioresample \
         ! auralinktranscribe wait=true engines=basic language-code=en ! appsink name=out sync=false",
        file.display()
    ));
    let pipeline = pipeline.expect("parses").downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("starts");
    let mut texts = Vec::new();
    let mut until = gst::ClockTime::ZERO;
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(120)) {
        let buffer = sample.buffer().expect("a buffer");
        let (from, length) = (buffer.pts().expect("a time"), buffer.duration().expect("a length"));
        assert!(from >= until, "{from} after {until}");
        until = from + length;
        let map = buffer.map_readable().expect("readable");
        texts.push(std::str::from_utf8(&map).expect("UTF-8").to_owned());
    }
    assert!(sink.is_eos(), "the pipeline stalled");
    let (mut cues, mut engines) = (Vec::new(), Vec::new());
    let bus = pipeline.bus().expect("a bus");
    while let Some(message) = bus.pop() {
        let Some(structure) = message.structure() else { continue };
        if structure.name() == CUE {
            let cue: &str = structure.get("cue").expect("a text");
            let cue: Cue = serde_json::from_str(cue).expect("a cue");
            assert_eq!(structure.get::<bool>("committed").expect("it says"), cue.is_committed());
            cues.push(cue);
        } else if structure.name() == ENGINE {
            engines.push(structure.get::<String>("state").expect("a state"));
        }
    }
    pipeline.set_state(gst::State::Null).expect("stops");
    let committed: Vec<_> =
        cues.iter().filter(|c| c.is_committed()).map(|c| c.text.clone()).collect();
    assert_eq!(committed, texts);
    assert!(texts.join(" ").contains("orders came from whitehall"), "{texts:?}");
    assert!(cues.iter().any(|c| !c.is_committed()), "partial cues come too");
    assert_eq!(engines.first().map(String::as_str), Some("starting"));
    assert!(engines.iter().any(|e| e == "listening"));
}
