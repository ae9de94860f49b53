//! The network, the search and the packing compute what the recipe in `models/aic-audio` computes.

#![allow(missing_docs)]

use std::path::Path;
use std::sync::LazyLock;

use auralink_codec::{Codes, FRAME_SAMPLES, Latent, Model};
use safetensors::SafeTensors;

/// How far sums in another order may lead: -100 dB. Equal packets must sound equal to -60 dB.
const APART_DB_MAX: f32 = -100.0;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/aic-audio");
    std::fs::read(folder.join(name)).expect(name)
}

static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::read(&file("aic-a2.safetensors")).expect("weights of the source tree"));

/// A second of speech, and what the recipe's network makes of it.
struct Example(Vec<u8>);

impl Example {
    fn read() -> Self {
        Self(file("aic-a2-example.safetensors"))
    }

    fn bytes(&self, name: &str) -> Vec<[u8; 4]> {
        let tensors = SafeTensors::deserialize(&self.0).expect("safetensors");
        tensors.tensor(name).expect(name).data().as_chunks().0.to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.bytes(name).into_iter().map(f32::from_le_bytes).collect()
    }

    fn latents(&self) -> Vec<Latent> {
        self.floats("features").as_chunks().0.to_vec()
    }

    fn codes(&self, name: &str, stages: usize) -> Vec<Codes> {
        let code = |b: &[u8; 4]| i32::from_le_bytes(*b) as u8;
        let codes: Vec<u8> = self.bytes(name).iter().map(code).collect();
        codes.chunks(stages).map(Codes::new).collect()
    }
}

/// Power of the difference, relative to that of `wanted`.
fn apart_db(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let power = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
    let off = power(&mut found.iter().zip(wanted).map(|(a, b)| a - b));
    10.0 * (off / power(&mut wanted.iter().copied())).log10()
}

#[test]
fn samples_become_the_recipe_s_latents_in_pieces_and_at_once() {
    let example = Example::read();
    let samples = example.floats("samples");
    let whole = MODEL.analyse(&samples, &mut [&mut MODEL.encoder_state()]);
    let off = apart_db(whole.as_flattened(), &example.floats("features"));
    assert!(off < APART_DB_MAX, "{off} dB");
    let mut state = MODEL.encoder_state();
    let frames = samples.chunks(FRAME_SAMPLES);
    let pieces: Vec<Latent> = frames.flat_map(|f| MODEL.analyse(f, &mut [&mut state])).collect();
    assert_eq!(pieces, whole, "streaming is the whole file, bit for bit");
}

#[test]
fn latents_become_the_recipe_s_codes() {
    let example = Example::read();
    for (name, stages) in [("codes.best.18", 18), ("codes.best.33", 33)] {
        let wanted = example.codes(name, stages);
        let latents = example.latents();
        let found = latents.iter().map(|latent| MODEL.quantise(latent, stages));
        let same = found.zip(&wanted).filter(|(found, wanted)| found == *wanted).count();
        // Paths that are nearly as good as each other may swap.
        assert!(same * 100 >= 95 * wanted.len(), "{name}: only {same} frames of {}", wanted.len());
    }
}

#[test]
fn codes_become_the_recipe_s_samples_in_pieces_and_at_once() {
    let example = Example::read();
    for (name, stages) in [("best.18", 18), ("best.33", 33), ("greedy.46", 46)] {
        let codes = match stages {
            46 => example.codes("codes.greedy", stages),
            _ => example.codes(&format!("codes.{name}"), stages),
        };
        let latents: Vec<Latent> = codes.iter().map(|codes| MODEL.latent(codes)).collect();
        let whole = MODEL.synthesise(&latents, &mut [&mut MODEL.decoder_state()]);
        let off = apart_db(&whole, &example.floats(&format!("decoded.{name}")));
        assert!(off < APART_DB_MAX, "{name}: {off} dB");
        let mut state = MODEL.decoder_state();
        let pieces: Vec<f32> =
            latents.iter().flat_map(|l| MODEL.synthesise(&[*l], &mut [&mut state])).collect();
        assert_eq!(pieces, whole, "streaming is the whole file, bit for bit");
    }
}

#[test]
fn streams_in_one_pass_are_as_alone() {
    let samples = Example::read().floats("samples");
    let soft: Vec<f32> = samples.iter().map(|x| 0.3 * x).collect();
    let three = [&samples[..], &soft, &samples].concat();
    let mut states: Vec<_> = (0..3).map(|_| MODEL.encoder_state()).collect();
    let latents = MODEL.analyse(&three, &mut states.iter_mut().collect::<Vec<_>>());
    let alone = MODEL.analyse(&soft, &mut [&mut MODEL.encoder_state()]);
    let (frames, all) = (alone.len(), latents.len());
    assert_eq!(latents[frames..2 * frames], alone, "bit for bit");
    let mut states: Vec<_> = (0..3).map(|_| MODEL.decoder_state()).collect();
    let made = MODEL.synthesise(&latents, &mut states.iter_mut().collect::<Vec<_>>());
    let alone = MODEL.synthesise(&alone, &mut [&mut MODEL.decoder_state()]);
    assert_eq!(made[made.len() / all * frames..][..alone.len()], alone, "bit for bit");
}

#[test]
fn packets_are_the_recipe_s_to_the_bit() {
    let packets: serde_json::Value =
        serde_json::from_slice(&file("aic-a2-packets.json")).expect("JSON");
    let packets = packets.as_array().expect("a list");
    assert!(packets.len() > 3);
    for packet in packets {
        let codes: Vec<Vec<u8>> =
            serde_json::from_value(packet["codes"].clone()).expect("codes of each frame");
        let frames: Vec<Codes> = codes.iter().map(|codes| Codes::new(codes)).collect();
        let wanted = packet["bytes"].as_str().expect("hexadecimal");
        let bytes = MODEL.pack(&frames);
        let found: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, wanted);
        assert_eq!(MODEL.unpack(codes.iter().map(Vec::len), &bytes), Some(frames));
    }
}
