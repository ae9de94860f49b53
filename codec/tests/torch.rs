//! The network on libtorch computes what the plain one computes, on the processor and on a GPU; and
//! what each costs: `make aic-gpu`.

#![allow(missing_docs)]
#![cfg(feature = "torch")]

use std::path::Path;
use std::time::Instant;

use auralink_codec::torch::{TorchModel, device};
use auralink_codec::{FRAME_SAMPLES, Model};

/// How far sums in another order may lead: -60 dB is the bound for what a listener gets.
const APART_DB_MAX: f32 = -60.0;

fn weights() -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/aic-audio");
    std::fs::read(models.join("aic-a.safetensors")).expect("weights of the source tree")
}

/// The processor, and the GPU where there is one.
fn devices() -> Vec<tch::Device> {
    let mut devices = vec![tch::Device::Cpu, device()];
    devices.dedup();
    devices
}

/// Another voice for each stream.
fn voice(stream: usize, samples: usize) -> Vec<f32> {
    let sample = |n: usize| {
        let t = n as f32 / 16_000.0;
        let phase = (100.0 + 40.0 * stream as f32) * t + 8.0 * (3.0 * t).sin();
        let harmonics =
            (1..12).map(|h| (std::f32::consts::TAU * phase * h as f32).sin() / h as f32);
        harmonics.sum::<f32>() * 0.15 * (4.0 * t).sin().abs()
    };
    (0..samples).map(sample).collect()
}

fn apart_db(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let off: f32 = found.iter().zip(wanted).map(|(a, b)| (a - b) * (a - b)).sum();
    10.0 * (off / wanted.iter().map(|x| x * x).sum::<f32>()).log10()
}

#[test]
fn it_computes_what_the_plain_network_computes() {
    const STREAMS: usize = 3;
    const FRAMES: usize = 50;
    let bytes = weights();
    let plain = Model::read(&bytes).expect("weights");
    for device in devices() {
        let torch = TorchModel::read(&bytes, device).expect("weights");
        let voices: Vec<Vec<f32>> =
            (0..STREAMS).map(|n| voice(n, FRAMES * FRAME_SAMPLES)).collect();
        let mut before = torch.encoder_state(STREAMS).expect("memory");
        let mut after = torch.decoder_state(STREAMS).expect("memory");
        let mut encoders: Vec<_> = (0..STREAMS).map(|_| plain.encoder_state()).collect();
        let mut decoders: Vec<_> = (0..STREAMS).map(|_| plain.decoder_state()).collect();
        // Pieces of one frame and of several: states carry over.
        for (from, to) in [(0, 1), (1, 2), (2, 7), (7, FRAMES)] {
            let part = |v: &Vec<f32>| v[from * FRAME_SAMPLES..to * FRAME_SAMPLES].to_vec();
            let samples = voices.iter().flat_map(part).collect::<Vec<_>>();
            let found = torch.analyse(&samples, &mut before).expect("runs");
            let wanted = plain.analyse(&samples, &mut encoders.iter_mut().collect::<Vec<_>>());
            let apart = apart_db(found.as_flattened(), wanted.as_flattened());
            assert!(apart < APART_DB_MAX, "{device:?}, frames {from}-{to}: latents {apart} dB");
            let found = torch.synthesise(&wanted, &mut after).expect("runs");
            let wanted = plain.synthesise(&wanted, &mut decoders.iter_mut().collect::<Vec<_>>());
            let apart = apart_db(&found, &wanted);
            assert!(apart < APART_DB_MAX, "{device:?}, frames {from}-{to}: samples {apart} dB");
        }
    }
}

#[test]
fn what_each_costs() {
    const FRAMES: usize = 20;
    let bytes = weights();
    for device in devices() {
        let torch = TorchModel::read(&bytes, device).expect("weights");
        for streams in [1, 16, 256] {
            let mut before = torch.encoder_state(streams).expect("memory");
            let mut after = torch.decoder_state(streams).expect("memory");
            let frame = voice(0, FRAME_SAMPLES).repeat(streams);
            let mut both = || {
                let latents = torch.analyse(&frame, &mut before).expect("runs");
                torch.synthesise(&latents, &mut after).expect("runs")
            };
            both();
            let start = Instant::now();
            (0..FRAMES).for_each(|_| assert_eq!(both().len(), frame.len()));
            let each = start.elapsed() / (FRAMES * streams) as u32;
            eprintln!("{device:?}, {streams} streams: {each:?} per frame, both ways");
        }
    }
}
