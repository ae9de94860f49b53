//! Tests of the encoder alone.

use std::time::Duration;

use gst::prelude::*;

use super::state::State;
use crate::aic::payload::Payload;
use crate::aic::send::{CodecPolicy, Settings};
use crate::aic::weights;
use crate::elements::aic::testing::{buffers, encode, encoder, engine, payload, voice};
use crate::elements::aic::{CODEC, frames};

#[test]
fn opus_is_sent_where_it_is_asked_for_and_every_frame_once() {
    let mut harness = encoder(&[("codec", "opus")]);
    let sent = encode(&mut harness, &voice(1.015));
    // 51 frames, and one that pushes the end out.
    assert_eq!(sent.len(), 52);
    for (at, buffer) in sent.iter().enumerate() {
        assert_eq!(buffer.pts(), Some(frames(at as u64)));
        assert!(matches!(payload(buffer), Payload::Opus(_)));
    }
    let caps = harness.sinkpad().expect("there").current_caps().expect("fixed");
    let model = caps.structure(0).expect("one").get::<&str>("model").expect("set");
    assert!(weights::parse(model).is_some(), "{model}");
}

#[test]
fn an_engine_that_is_late_is_replaced_by_opus_and_the_bus_hears_why() {
    let (codec, mut late) = (engine(), Settings { wish: CodecPolicy::Aic, ..Settings::default() });
    late.engine_timeout.deadline = Duration::ZERO;
    let mut state = State::new(codec, 1).expect("Opus starts");
    let made: Vec<_> =
        buffers(&voice(0.5)).map(|b| state.take(&b, &late).expect("goes on")).collect();
    let sent: Vec<_> = made.iter().flat_map(|m| &m.buffers).collect();
    assert_eq!(sent.len(), 25);
    assert!(sent.iter().all(|b| matches!(payload(b), Payload::Opus(_))));
    let said = made.iter().find_map(|m| m.change.as_ref()).expect("a message");
    assert_eq!(said.name(), CODEC);
    assert_eq!(said.get::<&str>("codec"), Ok("opus"));
    assert_eq!(said.get::<&str>("reason"), Ok("late"), "{said}");
}

#[test]
fn packets_have_the_shape_that_was_asked_for() {
    engine();
    let shape = [
        ("codec", "aic"),
        ("wait", "true"),
        ("stages", "20"),
        ("frames-per-packet", "3"),
        ("redundancy", "2"),
    ];
    let mut harness = encoder(&shape);
    let sent = encode(&mut harness, &voice(1.2));
    assert_eq!(sent.len(), 21, "60 frames and one, three each");
    for (at, buffer) in sent[1..20].iter().enumerate() {
        assert_eq!(buffer.pts(), Some(frames(3 * (at as u64 + 1))));
        let Payload::Aic(packet) = payload(buffer) else { panic!("Opus") };
        let header = packet.header();
        assert_eq!((header.frames, header.redundant, header.stages), (3, 2, 18));
    }
}

#[test]
fn packets_of_constant_size_have_one_size() {
    engine();
    let shape = [("codec", "aic"), ("wait", "true"), ("constant-size", "true")];
    let sent = encode(&mut encoder(&shape), &voice(1.0));
    assert!(sent.iter().all(|b| b.size() == 10), "one header and 18 codes of 4 bits");
}
