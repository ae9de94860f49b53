//! The engine as the appliance runs it: a real child, if available.

use std::time::{Duration, Instant};

use super::*;
use crate::aic::FRAME_SAMPLES;

const PATIENCE: Duration = Duration::from_secs(5);

/// The warm engine; `None`, with a message on standard error, if there is none.
fn codec() -> Option<Codec> {
    let codec = Codec::shared();
    match codec.wait(Duration::from_secs(60)) {
        Ok(()) => Some(codec),
        Err(error) => {
            crate::needs::skip(format!("the engine of AIC-A: {error}"));
            None
        }
    }
}

#[test]
fn an_engine_that_is_not_there_says_what_turns_it_on() {
    let codec = Codec::shared();
    match codec.wait(Duration::from_secs(60)) {
        Ok(()) => assert!(codec.model().is_some() && codec.process_id().is_some()),
        Err(error) => {
            assert!(matches!(error, CodecError::NotThere(_)), "{error}");
            let since = Instant::now();
            assert_eq!(codec.encoder().encode(&[0.0; FRAME_SAMPLES], PATIENCE), Err(error));
            assert!(since.elapsed() < Duration::from_millis(100), "nobody waits for nothing");
        }
    }
}

#[test]
fn many_streams_at_once_are_each_answered() {
    let Some(codec) = codec() else { return };
    let streams: Vec<_> = (0..8)
        .map(|i| {
            let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
            std::thread::spawn(move || {
                for at in 0..20 {
                    let frame = std::array::from_fn(|n| {
                        0.2 * ((at * FRAME_SAMPLES + n) as f32 * 0.02 * (i + 1) as f32).sin()
                    });
                    let codes = encoder.encode(&frame, PATIENCE).expect("answered");
                    let codes = (at % 5 != 4).then_some(codes);
                    let audio = decoder.decode(codes, PATIENCE).expect("answered");
                    assert!(audio.iter().all(|x| x.is_finite()));
                }
            })
        })
        .collect();
    for stream in streams {
        stream.join().expect("no panic");
    }
}

#[test]
fn a_deadline_that_cannot_be_held_is_a_miss_and_the_stream_goes_on() {
    let Some(codec) = codec() else { return };
    let mut encoder = codec.encoder();
    let soon = Duration::from_micros(1);
    assert_eq!(encoder.encode(&[0.1; FRAME_SAMPLES], soon), Err(CodecError::Late(soon)));
    let again = (0..100).find_map(|_| encoder.encode(&[0.1; FRAME_SAMPLES], PATIENCE).ok());
    assert!(again.is_some());
}
