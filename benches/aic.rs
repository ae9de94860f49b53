//! Costs of AIC-A on one core: each part for one stream, and several streams in one pass.
//!
//! `cargo test --bench aic`; the crate `codec/` is optimised in every profile.

#![allow(missing_docs, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context;
use auralink::aic::engine::load;
use auralink::aic::packet::{Coded, Packet, RATE_STAGES};
use auralink::aic::{FRAME_SAMPLES, weights};
use auralink_codec::{Latent, Model};

const FRAMES: usize = 500;

fn main() -> anyhow::Result<()> {
    let start = Instant::now();
    let (model, _) = load(&weights::find().context("there are no weights")?)?;
    println!("Loading takes {:.0} ms.\n", start.elapsed().as_secs_f64() * 1e3);
    println!("| what | median of 20 ms | 95 % | real-time factor per stream |");
    println!("|---|---|---|---|");
    network(&model);
    for stages in RATE_STAGES {
        search_and_pack(&model, stages)?;
    }
    for streams in [4, 16] {
        many_streams(&model, streams);
    }
    Ok(())
}

/// Syllables of a gliding voice.
fn voice() -> Vec<f32> {
    let sample = |i: usize| {
        let t = i as f32 / 16_000.0;
        let phase = 120.0 * t + 10.0 * (3.0 * t).sin();
        let harmonics =
            (1..12).map(|h| (std::f32::consts::TAU * phase * h as f32).sin() / h as f32);
        harmonics.sum::<f32>() * 0.15 * (4.0 * t).sin().abs()
    };
    (0..FRAMES * FRAME_SAMPLES).map(sample).collect()
}

fn latents(model: &Model) -> Vec<Latent> {
    model.analyse(&voice(), &mut [&mut model.encoder_state()])
}

fn network(model: &Model) {
    let (mut state, voice) = (model.encoder_state(), voice());
    let analyse = |f: &[f32]| timed(|| model.analyse(f, &mut [&mut state]));
    row("samples to latent", 1, voice.chunks(FRAME_SAMPLES).map(analyse).collect());
    let mut state = model.decoder_state();
    let synthesise = |l: &Latent| timed(|| model.synthesise(&[*l], &mut [&mut state]));
    row("latent to samples", 1, latents(model).iter().map(synthesise).collect());
}

fn search_and_pack(model: &Model, stages: usize) -> anyhow::Result<()> {
    let latents = latents(model);
    let search = |l: &Latent| timed(|| model.quantise(l, stages));
    row(&format!("search, {stages} stages"), 1, latents.iter().map(search).collect());
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    for latent in &latents {
        let packet = Packet { frames: vec![model.quantise(latent, stages)], ..Packet::default() };
        writing.push(timed(|| packet.write(model)));
        let coded = Coded::read(&packet.write(model)?)?;
        reading.push(timed(|| coded.open(model)));
    }
    row(&format!("write a packet, {stages} stages"), 1, writing);
    row(&format!("read a packet, {stages} stages"), 1, reading);
    Ok(())
}

/// N streams in one pass each way.
fn many_streams(model: &Model, streams: usize) {
    let mut before: Vec<_> = (0..streams).map(|_| model.encoder_state()).collect();
    let mut after: Vec<_> = (0..streams).map(|_| model.decoder_state()).collect();
    let both = |frame: &[f32]| {
        let all = frame.repeat(streams);
        timed(|| {
            let latents = model.analyse(&all, &mut before.iter_mut().collect::<Vec<_>>());
            model.synthesise(&latents, &mut after.iter_mut().collect::<Vec<_>>())
        })
    };
    let took = voice().chunks(FRAME_SAMPLES).take(FRAMES / 5).map(both).collect();
    row(&format!("both, {streams} streams in one pass"), streams, took);
}

fn timed<T>(make: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(make());
    start.elapsed()
}

fn row(what: &str, streams: usize, mut took: Vec<Duration>) {
    took.drain(..10);
    took.sort();
    let at = |share: f64| took[(took.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    let (median, late) = (at(0.5), at(0.95));
    let each = median / 20.0 / streams as f64;
    println!("| {what} | {median:.3} ms | {late:.3} ms | {each:.4} |");
}
