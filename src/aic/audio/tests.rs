use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor};

use super::*;
use crate::aic::packet::Codes;
use crate::aic::{DELAY_SAMPLES, FRAME_SAMPLES};

fn own_weights() -> PathBuf {
    crate::aic::weights::find().expect("weights of the source tree")
}

fn model() -> Arc<Model> {
    tch::set_num_threads(1);
    Arc::new(Model::load(&own_weights(), Device::Cpu).expect("weights of the source tree"))
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

fn encode(model: &Arc<Model>, audio: &[f32], mut piece: impl FnMut() -> usize) -> Vec<Codes> {
    let mut encoder = Encoder::new(model.clone()).expect("state");
    let (mut codes, mut rest) = (Vec::new(), audio);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().min(rest.len()));
        encoder.push(now, |c| codes.push(c)).expect("encodes");
        rest = later;
    }
    codes
}

#[test]
fn packets_are_the_same_bit_for_bit_whatever_the_pieces() {
    let (model, audio) = (model(), audio(60));
    let whole = encode(&model, &audio, || usize::MAX);
    assert_eq!(whole.len(), 60);
    let mut random = StdRng::seed_from_u64(7);
    assert_eq!(encode(&model, &audio, || random.random_range(1..1000)), whole);
    assert_eq!(encode(&model, &audio, || 1), whole);
}

/// The largest difference between two signals or latents.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn streaming_equals_the_whole_file() {
    let (model, frames) = (model(), 80_i64);
    let audio = Tensor::from_slice(&audio(80)).unsqueeze(0);
    let mut state = model.encoder_state(1).expect("state");
    let latent = tch::no_grad(|| model.latent(&audio, &mut state).expect("latent"));
    let mut state = model.decoder_state(1).expect("state");
    let made = model.decode(&latent, &mut state).expect("decodes");
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut before = model.encoder_state(1).expect("state");
        let mut after = model.decoder_state(1).expect("state");
        let (mut latents, mut pieces, mut at) = (Vec::new(), Vec::new(), 0);
        while at < frames {
            let count = random.random_range(1..12).min(frames - at);
            let now = audio.narrow(1, at * FRAME_SAMPLES as i64, count * FRAME_SAMPLES as i64);
            let piece = tch::no_grad(|| model.latent(&now, &mut before).expect("latent"));
            pieces.push(model.decode(&piece, &mut after).expect("decodes"));
            latents.push(piece);
            at += count;
        }
        let off = apart(&Tensor::cat(&latents, 1), &latent);
        assert!(off < 1e-4 * latent.abs().max().double_value(&[]).max(1.0), "latents {off}");
        let off = apart(&Tensor::cat(&pieces, 1), &made);
        assert!(off < 1e-4, "samples {off}");
    }
}

/// `export.py` writes a test signal beside the weights, with its codes and its decoded output by
/// the recipe's network.
#[test]
fn the_engine_computes_what_the_recipe_computes() {
    let model = model();
    let path = own_weights().with_file_name("aic-a-example.safetensors");
    let named = Tensor::read_safetensors(path).expect("example of the source tree");
    let example = |name: &str| {
        let (_, tensor) = named.iter().find(|(n, _)| n == name).expect("part of the example");
        tensor.unsqueeze(0)
    };
    let codes = example("codes").to_kind(Kind::Int64);
    let mut state = model.encoder_state(1).expect("state");
    let found = model.encode(&example("samples"), 12, &mut state).expect("encodes");
    // A code near the border of two entries may differ, and with it the following stages.
    let same = found.eq_tensor(&codes).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    assert!(same > 0.95, "only {same} of the codes are the same");
    let latent = model.codes_to_latent(&codes).expect("latent");
    let made = model.decode(&latent, &mut model.decoder_state(1).expect("state")).expect("decodes");
    let wanted = example("made");
    assert!(wanted.abs().max().double_value(&[]) > 0.05, "the example is silent");
    let off = apart(&made, &wanted);
    assert!(off < 1e-4, "{off}");
}

#[test]
fn streams_in_one_pass_do_not_touch_each_other() {
    let model = model();
    let one = Tensor::from_slice(&audio(20)).unsqueeze(0);
    let both = Tensor::cat(&[&one, &(&one * 0.3)], 0);
    let run = |audio: &Tensor, batch| {
        let mut state = model.encoder_state(batch).expect("state");
        let latent = tch::no_grad(|| model.latent(audio, &mut state).expect("latent"));
        model.decode(&latent, &mut model.decoder_state(batch).expect("state")).expect("decodes")
    };
    let off = apart(&run(&both, 2).narrow(0, 0, 1), &run(&one, 1));
    assert!(off < 1e-4, "{off}");
}

#[test]
fn what_is_decoded_is_in_time_and_like_what_was_said() {
    let (model, audio) = (model(), audio(100));
    let codes = encode(&model, &audio, || FRAME_SAMPLES);
    let mut decoder = Decoder::new(model).expect("state");
    let made: Vec<f32> =
        codes.iter().flat_map(|c| decoder.frame(Some(c)).expect("decodes")).collect();
    // Loudness per 10 ms matches the original best at the codec's delay.
    let loudness = |x: &[f32]| -> Vec<f32> {
        x.chunks(160).map(|c| (c.iter().map(|x| x * x).sum::<f32>() + 1e-6).ln()).collect()
    };
    let (made, audio) = (loudness(&made), loudness(&audio));
    let off = |lag: usize| {
        let pairs = made[lag..].iter().zip(&audio).skip(10);
        pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / (made.len() - lag - 10) as f32
    };
    let best = (0..6).min_by(|a, b| off(*a).total_cmp(&off(*b))).expect("some");
    assert_eq!(best, DELAY_SAMPLES / 160, "{:?}", (0..6).map(off).collect::<Vec<_>>());
}

#[test]
fn long_losses_fade_to_comfort_noise_and_speech_comes_back() {
    let (model, audio) = (model(), audio(60));
    let codes = encode(&model, &audio, || FRAME_SAMPLES);
    let mut decoder = Decoder::new(model).expect("state");
    let power = |frame: &[f32]| frame.iter().map(|x| x * x).sum::<f32>() / FRAME_SAMPLES as f32;
    let before: f32 =
        codes[..40].iter().map(|c| power(&decoder.frame(Some(c)).expect("decodes"))).sum();
    let lost: Vec<f32> = (0..20).map(|_| power(&decoder.frame(None).expect("bridges"))).collect();
    assert!(lost[12..].iter().all(|p| *p < 1e-4 && *p > 0.0), "{lost:?}");
    let after: f32 =
        codes[40..].iter().map(|c| power(&decoder.frame(Some(c)).expect("decodes"))).sum();
    assert!(after > before / 20.0, "{after} of {before}");
}

#[test]
fn any_codes_and_any_samples_give_finite_sound() {
    let model = model();
    let mut random = StdRng::seed_from_u64(3);
    let mut decoder = Decoder::new(model.clone()).expect("state");
    for _ in 0..200 {
        let stages = random.random_range(0..=12);
        let codes: Vec<u16> = (0..stages).map(|_| random.random()).collect();
        let codes = (random.random::<f32>() < 0.8).then(|| Codes::new(&codes));
        let frame = decoder.frame(codes.as_ref()).expect("decodes");
        assert!(frame.iter().all(|x| x.is_finite()));
    }
    let odd = [f32::NAN, f32::INFINITY, -1e30, 0.0].repeat(4 * FRAME_SAMPLES);
    assert_eq!(encode(&model, &odd, || 77).len(), 16);
}

#[test]
fn weights_that_are_not_those_of_the_card_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("aic-a.safetensors");
    let check = |expect: &str| {
        let error = Model::load(&path, Device::Cpu).err().expect("refused").to_string();
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
