//! The engine with the weights of the source tree.

use std::path::PathBuf;
use std::time::Duration;

use auralink_codec::Codes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::aic::FRAME_SAMPLES;
use crate::aic::weights::Weights;

const PATIENCE: Duration = Duration::from_secs(5);

fn codec() -> Codec {
    let codec = Codec::shared();
    codec.wait(Duration::from_secs(60)).expect("weights of the source tree");
    codec
}

fn own_weights() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/models/aic-audio/aic-a2.safetensors"))
}

/// A voice-like sound: harmonics of a gliding pitch in syllables.
fn audio(frames: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    let sample = |i: usize| {
        let t = i as f32 / 16_000.0;
        phase += (120.0 + 30.0 * (3.0 * t).sin()) / 16_000.0;
        let voice: f32 =
            (1..12).map(|h| (std::f32::consts::TAU * phase * h as f32).sin() / h as f32).sum();
        voice * 0.15 * (4.0 * t).sin().abs()
    };
    (0..frames * FRAME_SAMPLES).map(sample).collect()
}

fn encode(audio: &[f32], stages: usize) -> Vec<Codes> {
    let mut encoder = Encoder::new(codec());
    let (frames, _) = audio.as_chunks::<FRAME_SAMPLES>();
    frames.iter().map(|f| encoder.encode(f, stages, PATIENCE).expect("encodes")).collect()
}

#[test]
fn what_is_decoded_is_in_time_and_like_what_was_said() {
    let audio = audio(100);
    let mut decoder = Decoder::new(codec());
    let made: Vec<f32> = encode(&audio, 33)
        .into_iter()
        .flat_map(|codes| decoder.decode(Some(codes), PATIENCE).expect("decodes"))
        .collect();
    // The waveforms match best without a shift.
    let alike = |lag: usize| made[lag..].iter().zip(&audio).map(|(a, b)| a * b).sum::<f32>();
    let best = (0..40).max_by(|a, b| alike(*a).total_cmp(&alike(*b))).expect("some");
    assert_eq!(best, 0, "{:?}", (0..40).map(alike).collect::<Vec<_>>());
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    let share = alike(0) / (power(&made) * power(&audio)).sqrt();
    assert!(share > 0.7, "{share}");
}

#[test]
fn long_losses_fade_to_comfort_noise_and_speech_comes_back() {
    let codes = encode(&audio(60), 18);
    let mut decoder = Decoder::new(codec());
    let power = |frame: [f32; FRAME_SAMPLES]| frame.iter().map(|x| x * x).sum::<f32>() / 320.0;
    let mut next = |codes| power(decoder.decode(codes, PATIENCE).expect("goes on"));
    let before: f32 = codes[..30].iter().map(|c| next(Some(*c))).sum();
    let lost: Vec<f32> = (0..20).map(|_| next(None)).collect();
    assert!(lost[0] > before / 30.0 / 20.0, "the first one is bridged: {lost:?}");
    assert!(lost[12..].iter().all(|p| *p < 1e-4 && *p > 0.0), "{lost:?}");
    let after: f32 = codes[30..].iter().map(|c| next(Some(*c))).sum();
    assert!(after > before / 20.0, "{after} of {before}");
}

#[test]
fn any_codes_and_any_samples_give_finite_sound() {
    let mut random = StdRng::seed_from_u64(3);
    let mut decoder = Decoder::new(codec());
    for _ in 0..200 {
        let stages = random.random_range(0..=46);
        let codes: Vec<u8> = (0..stages).map(|_| random.random()).collect();
        let codes = (random.random::<f32>() < 0.8).then(|| Codes::new(&codes));
        let frame = decoder.decode(codes, PATIENCE).expect("decodes");
        assert!(frame.iter().all(|x| x.is_finite()));
    }
    let odd = [f32::NAN, f32::INFINITY, -1e30, 0.0].repeat(4 * FRAME_SAMPLES);
    assert_eq!(encode(&odd, 14).len(), 16);
}

#[test]
fn a_deadline_that_cannot_be_held_is_a_miss_and_the_stream_goes_on() {
    let mut encoder = Encoder::new(codec());
    let soon = Duration::from_nanos(1);
    assert_eq!(encoder.encode(&[0.1; FRAME_SAMPLES], 14, soon), Err(CodecError::Late(soon)));
    assert!(encoder.encode(&[0.1; FRAME_SAMPLES], 14, PATIENCE).is_ok());
}

#[test]
fn the_weights_in_the_program_are_those_of_their_card() {
    let (_, hashed) = load(&Weights::BuiltIn).expect("weights in the program");
    assert_eq!(Weights::BuiltIn.id(), Some(hashed));
}

#[test]
fn weights_that_are_not_those_of_the_card_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("aic-a2.safetensors");
    let check = |expect: &str| {
        let error = load(&Weights::File(path.clone())).err().expect("refused").to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("cannot read");
    let copy = |extension: &str| {
        let from = own_weights().with_extension(extension);
        std::fs::copy(from, path.with_extension(extension)).expect("copy");
    };
    copy("json");
    copy("safetensors");
    let mut bytes = std::fs::read(&path).expect("weights");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, bytes).expect("write");
    check("SHA-256");
    std::fs::write(path.with_extension("json"), "{}").expect("write");
    check("no model card");
}
