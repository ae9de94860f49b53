//! Tests of the encoder alone.

use std::time::Duration;

use gst::prelude::*;

use crate::aic::engine::Codec;
use crate::aic::payload::Payload;
use crate::aic::weights;
use crate::elements::aic::testing::{encode, encoder, engine, payload, voice};
use crate::elements::aic::{CODEC, frames};

#[test]
fn opus_is_sent_where_it_is_asked_for_and_every_frame_once() {
    let mut harness = encoder(&[("codec", "opus")]);
    let sent = encode(&mut harness, &voice(1.01));
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
fn without_an_engine_opus_is_sent_and_the_bus_hears_why() {
    // Held to the end: an engine without handles ends, and the next one would be starting.
    let codec = Codec::shared();
    if codec.wait(Duration::from_secs(60)).is_ok() {
        eprintln!("this machine has an engine, which the other tests use");
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
        assert_eq!(buffer.pts(), Some(frames(3 * (at as u64 + 1))));
        let Payload::Aic(packet) = payload(buffer) else { panic!("Opus") };
        assert_eq!((packet.frames.len(), packet.redundant.len()), (3, 2));
        assert_eq!((packet.frames[0].stages(), packet.redundant[0].stages()), (6, 2));
    }
}
