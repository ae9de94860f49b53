//! Tests of the element alone; `decoder_tests` checks what other decoders read.

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gst_check::Harness;

use super::Caption;
use crate::captions::VideoCodec;
use crate::captions::sei::inspect;
use crate::media::{Cue, Language, Origin, Stage};

const H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au,framerate=30/1";

/// A delimiter and a slice.
const UNIT: &[u8] = &[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x41, 0x9a, 1, 2, 3];

/// A committed English cue; times in seconds.
pub(super) fn cue(start: f64, end: f64, text: &str) -> Cue {
    Cue {
        id: 1,
        language: Language::english(),
        stage: Stage::Committed,
        start: Duration::from_secs_f64(start),
        end: Duration::from_secs_f64(end),
        text: text.into(),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

fn harness(services: &str, caps: &str) -> Harness {
    gst::init().expect("GStreamer starts");
    crate::init().expect("registers");
    let element = gst::ElementFactory::make("auralinkcaption").property("services", services);
    let element = element.build().expect("the element is there");
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(caps);
    harness
}

fn frame(n: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(UNIT);
    let writable = buffer.get_mut().expect("sole owner");
    let at = |n| gst::ClockTime::SECOND.mul_div_floor(n, 30);
    writable.set_pts(at(n));
    writable.set_dts(at(n));
    writable.set_duration(at(1));
    writable.set_flags(gst::BufferFlags::DELTA_UNIT);
    buffer
}

fn stat(harness: &Harness, name: &str) -> u64 {
    let stats: gst::Structure = harness.element().expect("there").property("stats");
    stats.get(name).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn frames_keep_everything_but_get_captions() {
    let mut harness = harness("cc1=en", H264);
    let element = harness.element().and_downcast::<Caption>().expect("ours");
    assert_eq!(element.push(&cue(0.0, 1.0, "Hello, world.")), 1);
    let spanish = Cue { language: "es".parse().expect("valid"), ..cue(0.0, 1.0, "hola") };
    assert_eq!(element.push(&spanish), 0, "nobody carries Spanish");
    for n in 0..30 {
        let sent = frame(n);
        let got = harness.push_and_pull(sent.clone()).expect("flows at once");
        assert_eq!(
            (got.pts(), got.dts(), got.duration()),
            (sent.pts(), sent.dts(), sent.duration())
        );
        assert!(got.flags().contains(sent.flags()));
        let map = got.map_readable().expect("readable");
        assert!(map.ends_with(&UNIT[6..]), "the picture is as it was");
        assert_eq!(inspect(&map, VideoCodec::H264).expect("a picture").captions.len(), 20);
    }
    assert_eq!((stat(&harness, "frames"), stat(&harness, "words-cc1")), (30, 2));
    let latency = harness.query_latency();
    assert_eq!(latency, Some(gst::ClockTime::ZERO), "no latency of its own");
}

#[test]
fn without_services_buffers_pass_as_they_are() {
    let mut harness = harness("", H264);
    let got = harness.push_and_pull(frame(0)).expect("flows");
    assert_eq!(&*got.map_readable().expect("readable"), UNIT);
}

#[test]
fn what_is_no_picture_passes_and_is_counted() {
    let mut harness = harness("s1=en", H264);
    let mut garbage = gst::Buffer::from_slice([1_u8, 2, 3]);
    garbage.get_mut().expect("sole owner").set_pts(gst::ClockTime::ZERO);
    assert_eq!(harness.push_and_pull(garbage).expect("flows").size(), 3);
    assert_eq!(stat(&harness, "unread"), 1);
    assert_eq!(harness.push_and_pull(gst::Buffer::from_slice(UNIT)).expect("flows").size(), 14);
}

#[test]
fn text_comes_on_pads_and_waits_for_the_picture() {
    let mut harness = harness("cc1=en,s1=en", H264);
    let element = harness.element().expect("there");
    let mut text = Harness::with_element(&element, Some("text_cc1"), None);
    text.set_src_caps_str("text/x-raw,format=utf8");
    let mut buffer = gst::Buffer::from_slice("some text".as_bytes());
    buffer.get_mut().expect("sole owner").set_pts(gst::ClockTime::from_seconds(7));
    // It belongs to a picture seven seconds later, and is admitted two seconds later.
    let pushed = std::thread::spawn(move || {
        let result = text.push(buffer);
        (text, result)
    });
    for n in 0..90 {
        harness.push_and_pull(frame(n)).expect("flows");
    }
    let (_text, result) = pushed.join().expect("no panic");
    assert_eq!(result, Ok(gst::FlowSuccess::Ok));
    for n in 90..240 {
        harness.push_and_pull(frame(n)).expect("flows");
    }
    assert_eq!((stat(&harness, "words-cc1"), stat(&harness, "words-s1")), (2, 0));
}

#[test]
fn waiting_text_does_not_keep_the_element_from_stopping() {
    let mut harness = harness("cc1=en", H264);
    let element = harness.element().expect("there");
    let mut text = Harness::with_element(&element, Some("text_cc1"), None);
    text.set_src_caps_str("text/x-raw,format=utf8");
    let mut buffer = gst::Buffer::from_slice("never shown".as_bytes());
    buffer.get_mut().expect("sole owner").set_pts(gst::ClockTime::from_seconds(3600));
    let pushed = std::thread::spawn(move || {
        let _ = text.push(buffer);
        text
    });
    harness.push_and_pull(frame(0)).expect("flows");
    element.set_state(gst::State::Null).expect("stops");
    pushed.join().expect("it came back");
}

#[test]
fn settings_that_make_no_sense_keep_it_from_starting() {
    gst::init().expect("GStreamer starts");
    crate::init().expect("registers");
    let check = |services: &str, existing: &str, moves: &str, says: &str| {
        let element = gst::ElementFactory::make("auralinkcaption")
            .property("services", services)
            .property("moves", moves)
            .property_from_str("existing", existing)
            .build()
            .expect("the element is there");
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let started = element.set_state(gst::State::Paused);
        let said = bus.pop_filtered(&[gst::MessageType::Error]).map(|m| match m.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            _ => String::new(),
        });
        element.set_state(gst::State::Null).expect("stops");
        assert_eq!(started.is_err(), !says.is_empty(), "{services} {moves}");
        assert!(said.unwrap_or_default().contains(says), "{services} {moves}");
    };
    check("cc1=en,s1=es", "move", "cc1=cc3,s1=s2", "");
    check("cc9=en", "keep", "", "cc1 to cc4");
    check("cc1=en", "move", "cc3=cc1", "second field");
    check("cc3=en", "move", "cc1=cc3", "in the way");
}
