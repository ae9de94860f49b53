//! Costs of AIC-A in use: frames of streams at the same time, and latency through encoder, RTP and
//! decoder elements, compared with Opus in GStreamer's own elements.
//!
//! `cargo test --bench aic-pipeline`, part of `make bench-aic`.

#![allow(missing_docs, clippy::print_stdout)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use auralink::aic::FRAME_SAMPLES;
use auralink::aic::engine::{Codec, Decoder, Encoder};
use gst::prelude::*;

const FRAMES: usize = 300;
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    auralink::init()?;
    let codec = Codec::shared();
    codec.wait(Duration::from_secs(60))?;
    println!("| streams of one process | median | 95 % | real-time factor |\n|---|---|---|---|");
    for streams in [1, 4, 16] {
        round_trips(&codec, streams)?;
    }
    println!(
        "\n| encoder, RTP, decoder, live | reported | sample comes out after | moved in time | added in all |"
    );
    println!("|---|---|---|---|---|");
    let aic = "auralinkaicenc codec=aic stages=18 deadline=100";
    let depay = "rtpaicpay ! rtpaicdepay ! auralinkaicdec deadline=100";
    for frames in [1, 2, 3] {
        let row = format!("AIC-A, {} ms packets", 20 * frames);
        latency(&row, &format!("{aic} frames-per-packet={frames} ! {depay}"))?;
    }
    latency("Opus inside AIC-A", &format!("auralinkaicenc codec=opus ! {depay}"))?;
    latency("Opus of GStreamer", "audioconvert ! opusenc ! rtpopuspay ! rtpopusdepay ! opusdec")
}

/// Each stream encodes and decodes a frame every 20 ms, all at the same time.
fn round_trips(codec: &Codec, streams: usize) -> anyhow::Result<()> {
    let (told, took) = mpsc::channel();
    let start = Instant::now() + Duration::from_millis(20);
    std::thread::scope(|scope| {
        for stream in 0..streams {
            let (mut encoder, mut decoder) =
                (Encoder::new(codec.clone()), Decoder::new(codec.clone()));
            let told = told.clone();
            scope.spawn(move || {
                for at in 0..FRAMES {
                    let due = start + Duration::from_millis(20) * at as u32;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let tone = |n: usize| {
                        0.1 * ((at * FRAME_SAMPLES + n) as f32 * 0.03 * (stream + 1) as f32).sin()
                    };
                    let frame = std::array::from_fn(tone);
                    let began = Instant::now();
                    let codes = encoder.encode(&frame, 18, PATIENCE);
                    let encoded = began.elapsed();
                    let audio = codes.and_then(|c| decoder.decode(Some(c), PATIENCE));
                    let _ = told.send(audio.map(|_| (encoded, began.elapsed() - encoded)));
                }
            });
        }
        drop(told);
        let all: Result<Vec<_>, _> = took.iter().collect();
        let all = all?;
        row(&format!("encode, {streams} streams"), all.iter().map(|t| t.0).collect());
        row(&format!("decode, {streams} streams"), all.iter().map(|t| t.1).collect());
        Ok(())
    })
}

fn at(sorted: &[Duration], share: f64) -> f64 {
    sorted[(sorted.len() as f64 * share) as usize].as_secs_f64() * 1e3
}

fn row(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let median = at(&took, 0.5);
    println!("| {what} | {median:.2} ms | {:.2} ms | {:.3} |", at(&took, 0.95), median / 20.0);
}

/// Six seconds of speech, 48 kHz mono.
fn speech() -> anyhow::Result<Vec<f32>> {
    let data = std::env::var("AURALINK_TEST_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").into());
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i", &format!("{data}/speech/p501-48k/i01_f1.flac")])
        .args(["-f", "f32le", "-ac", "1", "-ar", "48000", "-t", "6", "-"])
        .output()
        .context("ffmpeg starts: `make setup` installs it")?;
    anyhow::ensure!(output.status.success(), "no speech: set AURALINK_TEST_DATA");
    let sample = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    Ok(output.stdout.chunks_exact(4).map(sample).collect())
}

/// Live speech through a chain of elements.
fn latency(what: &str, chain: &str) -> anyhow::Result<()> {
    let raw = "audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved";
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in is-live=true format=time caps={raw} ! {chain} ! audioconvert ! {raw} \
         ! appsink name=out sync=false"
    ))?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().ok().context("a pipeline")?;
    let input = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().context("an appsrc")?;
    let output = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().context("a sink")?;
    pipeline.set_state(gst::State::Playing)?;
    let audio = speech()?;
    let begin = Instant::now();
    let feeder = {
        let audio = audio.clone();
        std::thread::spawn(move || {
            for (at, frame) in audio.chunks(960).enumerate() {
                // A frame is available when its last sample is.
                let due = begin + Duration::from_millis(20) * (at as u32 + 1);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let bytes: Vec<u8> = frame.iter().flat_map(|x| x.to_le_bytes()).collect();
                let mut buffer = gst::Buffer::from_mut_slice(bytes);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(gst::ClockTime::from_mseconds(20) * at as u64);
                    buffer.set_duration(gst::ClockTime::from_mseconds(20));
                }
                if input.push_buffer(buffer).is_err() {
                    break;
                }
            }
            let _ = input.end_of_stream();
        })
    };
    let (mut heard, mut late, mut reported) = (Vec::new(), Vec::new(), 0);
    while let Ok(sample) = output.pull_sample() {
        let arrived = begin.elapsed();
        if reported == 0 {
            let mut query = gst::query::Latency::new();
            let known = output.static_pad("sink").is_some_and(|pad| pad.peer_query(&mut query));
            reported = if known { query.result().1.mseconds() } else { 0 };
        }
        let buffer = sample.buffer().context("a buffer")?;
        let pts = Duration::from(buffer.pts().context("no time")?);
        let map = buffer.map_readable()?;
        heard.resize((pts.as_secs_f64() * 48_000.0).round() as usize, 0.0_f32);
        heard.extend(map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        // Delay from the first sample's availability to its output.
        late.push(arrived.saturating_sub(pts));
    }
    let _ = feeder.join();
    pipeline.set_state(gst::State::Null)?;
    late.sort();
    anyhow::ensure!(!late.is_empty(), "nothing came out of {chain}");
    let (median, moved) = (at(&late, 0.5), lag(&audio, &heard));
    println!(
        "| {what} | {reported} ms | {median:.1} ms (95 %: {:.1}) | {moved:.1} ms | {:.1} ms |",
        at(&late, 0.95),
        median + moved
    );
    Ok(())
}

/// Delay in milliseconds of the loudness of `heard` behind that of `said`, by timestamps.
fn lag(said: &[f32], heard: &[f32]) -> f64 {
    let loudness = |x: &[f32]| -> Vec<f32> {
        let all: Vec<f32> =
            x.chunks(24).map(|c| (c.iter().map(|x| x * x).sum::<f32>() + 1e-3).ln()).collect();
        let mean = all.iter().sum::<f32>() / all.len().max(1) as f32;
        all.iter().map(|x| x - mean).collect()
    };
    let (said, heard) = (loudness(said), loudness(heard));
    let score = |lag: i64| -> f32 {
        let pair =
            |at: usize| heard.get(usize::try_from(at as i64 + lag).ok()?).map(|h| said[at] * h);
        (0..said.len()).filter_map(pair).sum()
    };
    let best = (-100..200).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(0);
    best as f64 * 0.5
}
