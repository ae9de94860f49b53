//! Tests of the decoder alone, with input from the encoder or made by hand.

use gst::prelude::*;
use gst_check::Harness;

use crate::aic::payload::Payload;
use crate::elements::aic::testing::{MONO, encode, encoder, engine, payload, start, voice};
use crate::elements::aic::{HINTS, UNAVAILABLE, frames};

#[test]
fn a_decoder_without_the_senders_weights_says_so_and_goes_on() {
    start();
    let mut harness = Harness::new("auralinkaicdec");
    let bus = gst::Bus::new();
    harness.element().expect("there").set_bus(Some(&bus));
    // No engine of this machine has this model.
    harness.set_src_caps_str("audio/x-aic,rate=16000,channels=1,model=(string)01020304");
    for at in 0..10 {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0x80, 1, 2, 3]);
        buffer.get_mut().expect("sole owner").set_pts(frames(at));
        harness.push(buffer).expect("goes on");
    }
    let said: Vec<gst::Structure> = std::iter::from_fn(|| bus.pop())
        .filter_map(|m| m.structure().map(|s| s.to_owned()))
        .filter(|s| s.name() == UNAVAILABLE)
        .collect();
    assert_eq!(said.len(), 1, "once: {said:?}");
    assert_eq!(said[0].get::<&str>("reason"), Ok("model"));
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
    // The next packet repeats all three frames of the lost one.
    assert_eq!(stats.get::<u64>("recovered"), Ok(9), "{stats}");
    assert_eq!(stats.get::<u64>("concealed"), Ok(0), "{stats}");
}

/// Nothing comes after a description of the background: the noise goes on by the clock of the pipeline,
/// and what comes late begins where the noise ends.
#[test]
fn a_silence_is_filled_by_the_clock_while_nothing_comes() {
    engine();
    let mut sender = encoder(&[("codec", "aic"), ("wait", "true"), ("dtx", "true")]);
    let mut audio = voice(0.4);
    audio.extend((0..48_000).map(|n| 1e-3 * ((n * 7_919 % 997) as f32 / 498.5 - 1.0)));
    audio.extend(voice(0.4));
    let sent = encode(&mut sender, &audio);
    let is_comfort = |b: &gst::Buffer| matches!(payload(b), Payload::Aic(p) if p.header().comfort);
    let silent = sent.iter().position(is_comfort).expect("described");
    let speech = sent.iter().position(|b| b.flags().contains(gst::BufferFlags::MARKER));
    let speech = &sent[speech.expect("resumed")..];

    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in is-live=true format=time ! auralinkaicdec wait=true ! {MONO} \
         ! appsink name=out sync=true"
    ));
    let pipeline = pipeline.expect("parses").downcast::<gst::Pipeline>().expect("a pipeline");
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("an appsrc");
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("an appsink");
    source.set_caps(sender.sinkpad().expect("there").current_caps().as_ref());
    pipeline.set_state(gst::State::Playing).expect("plays");
    for buffer in &sent[..=silent] {
        source.push_buffer(buffer.copy()).expect("flows");
    }
    let described = sent[silent].pts().expect("dated");
    let mut end: Option<gst::ClockTime> = None;
    let mut hear_until = |until: gst::ClockTime| {
        while end.is_none_or(|end| end < until) {
            let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(10));
            let sample = sample.expect("the silence is filled");
            let buffer = sample.buffer().expect("a buffer");
            let start = buffer.pts().expect("dated");
            // Times are followed slowly.
            let off = end.map_or(gst::ClockTime::ZERO, |end| end.max(start) - end.min(start));
            assert!(off < gst::ClockTime::from_mseconds(1), "{start} after {end:?}");
            end = Some(start + buffer.duration().expect("timed"));
        }
        end
    };
    let filled = hear_until(described + frames(30)).expect("heard");
    // The first of it comes too late by two frames and by what is filled until it is there.
    let begun = speech[0].pts().expect("dated");
    for buffer in speech {
        let mut late = buffer.copy();
        let since = buffer.pts().expect("dated") - begun;
        let start = (filled + frames(1) / 2).saturating_sub(frames(2)) + since;
        late.get_mut().expect("sole owner").set_pts(start);
        source.push_buffer(late).expect("flows");
    }
    hear_until(filled + frames(10));
    pipeline.set_state(gst::State::Null).expect("stops");
}
