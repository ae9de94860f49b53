//! Costs of the AIC-A engine: one stream on one thread, and 16 streams in one pass.
//!
//! `cargo bench --features aic --bench aic`; nearly all time is spent inside libtorch, which is
//! optimised in every profile.

#![allow(missing_docs, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use auralink::aic::FRAME_SAMPLES;
use auralink::aic::audio::{Decoder, Encoder, Model};
use auralink::aic::packet::Codes;
use auralink::aic::weights;
use tch::{Device, Kind, Tensor};

const FRAMES: usize = 500;

fn main() -> anyhow::Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(1);
    let model =
        Arc::new(Model::load(&weights::find().context("there are no weights")?, Device::Cpu)?);
    println!("| what | threads | median of 20 ms | 95 % | real-time factor |");
    println!("|---|---|---|---|---|");
    one_stream(&model)?;
    for threads in [1, 2] {
        tch::set_num_threads(threads);
        many_streams(&model, 16, threads)?;
    }
    Ok(())
}

/// Encoder and decoder as an element runs them.
fn one_stream(model: &Arc<Model>) -> anyhow::Result<()> {
    let length = (FRAMES * FRAME_SAMPLES) as i64;
    let sound: Vec<f32> = Vec::try_from(Tensor::randn([length], (Kind::Float, Device::Cpu)) * 0.1)?;
    let (mut encoder, mut decoder) = (Encoder::new(model.clone())?, Decoder::new(model.clone())?);
    let (mut encoding, mut decoding) = (Vec::new(), Vec::new());
    for frame in sound.chunks(FRAME_SAMPLES) {
        let mut made: Option<Codes> = None;
        let start = Instant::now();
        encoder.push(frame, |codes| made = Some(codes))?;
        encoding.push(start.elapsed());
        let start = Instant::now();
        decoder.frame(made.as_ref())?;
        decoding.push(start.elapsed());
    }
    row("encode, one stream", 1, 1, encoding);
    row("decode, one stream", 1, 1, decoding);
    Ok(())
}

/// N streams batched into one forward pass each way.
fn many_streams(model: &Model, streams: usize, threads: i32) -> anyhow::Result<()> {
    let (mut before, mut after) = (model.encoder_state(streams)?, model.decoder_state(streams)?);
    let mut both = Vec::new();
    for _ in 0..FRAMES / 5 {
        let shape = [streams as i64, FRAME_SAMPLES as i64];
        let samples = Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.1;
        let start = Instant::now();
        let codes = model.encode(&samples, 12, &mut before)?;
        let _sound = model.decode(&model.codes_to_latent(&codes)?, &mut after)?;
        both.push(start.elapsed());
    }
    row(&format!("encode + decode, {streams} streams in one pass"), threads, streams, both);
    Ok(())
}

/// Prints the real-time factor of the median, over all streams together.
fn row(what: &str, threads: i32, streams: usize, mut took: Vec<Duration>) {
    took.drain(..10);
    took.sort();
    let at = |share: f64| took[(took.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    let (median, late) = (at(0.5), at(0.95));
    let each = median / 20.0 / streams as f64;
    println!(
        "| {what} | {threads} | {median:.2} ms | {late:.2} ms | {:.3} ({each:.4} per stream) |",
        median / 20.0
    );
}
