//! Noise suppression in figures: speech and noise mixed at 0, 5 and 10 dB go through
//! `auralinkdenoise` with each engine; SI-SDR and DNSMOS P.835 before and after, the time it takes,
//! and what is heard of switching.
//!
//! `cargo test --bench denoise`. DNSMOS needs
//! Python with onnxruntime: `make setup` installs one in `.venv` (or set `AURALINK_BENCH_PYTHON`).
//! DeepFilterNet is left out if it is not installed: `auralink models pull deepfilternet3`.
//! The set is fixed: file `n` of the speech is mixed with file `n` of the noise; nothing is random.

#![allow(missing_docs, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use auralink::speech::denoise::{Denoiser, Engine, Selection, Selector, Strength};
use gst::prelude::*;

const RATE: usize = 48_000;

/// Longest piece of a speech file, in samples: the input length of DNSMOS.
const PIECE: usize = RATE * 9;

const SNRS_DB: [f32; 3] = [0.0, 5.0, 10.0];

/// Engines under test: label, value of the property, engine.
const ENGINES: [(&str, &str, Engine); 2] =
    [("RNNoise", "rnnoise", Engine::Rnnoise), ("DeepFilterNet", "dfn3", Engine::Dfn3)];

/// Element settings under test for each engine.
const VARIANTS: [(&str, &str); 4] = [
    ("100 dB", "max-attenuation-db=100"),
    ("24 dB", "max-attenuation-db=24"),
    ("12 dB", "max-attenuation-db=12"),
    ("12 dB, post-filter", "max-attenuation-db=12 post-filter=true"),
];

/// One mix: its clean speech, and the audio before or after the element.
struct Clip {
    snr: usize,
    speech: Vec<f32>,
    mixed: Vec<f32>,
}

fn main() -> Result<()> {
    auralink::init()?;
    let data = std::env::var("AURALINK_TEST_DATA").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    if !data.join("speech").exists() {
        println!("denoise: skipped, there is no test data in {}", data.display());
        return Ok(());
    }
    let clips = mix(&data)?;
    let folder = tempfile::tempdir()?;
    let mut rows = vec![("noisy".to_owned(), clips.iter().map(|c| c.mixed.clone()).collect())];
    let there = |engine: &Engine| match denoiser(*engine).1.off() {
        Some(why) => {
            println!("denoise: without DeepFilterNet: {why}");
            false
        }
        None => true,
    };
    let engines: Vec<_> = ENGINES.iter().filter(|(.., engine)| there(engine)).collect();
    for (name, word, engine) in &engines {
        for (label, properties) in VARIANTS {
            if *engine == Engine::Rnnoise && properties.contains("post-filter") {
                continue;
            }
            let properties = format!("engine={word} wait=true {properties}");
            let cleaned: Result<Vec<_>> =
                clips.iter().map(|c| clean(&c.mixed, &properties)).collect();
            rows.push((format!("{name}, {label}"), cleaned?));
        }
    }
    let speech: Vec<Vec<f32>> =
        clips.iter().filter(|c| c.snr == 0).map(|c| c.speech.clone()).collect();
    let scores = dnsmos(&data, folder.path(), &speech)?;
    println!("\nNoise suppression, {} mixes of speech and noise\n", clips.len());
    println!("| SNR | output | SI-SDR dB | SIG | BAK | OVRL |");
    println!("|---|---|---|---|---|---|");
    if let Some(scores) = &scores {
        print_row("–", "clean speech", "∞".into(), &scores.iter().collect::<Vec<_>>());
    }
    for (label, sounds) in &rows {
        let scores = dnsmos(&data, folder.path(), sounds)?;
        for (snr, db) in SNRS_DB.iter().enumerate() {
            let chosen: Vec<usize> = (0..clips.len()).filter(|n| clips[*n].snr == snr).collect();
            let gain = |n: &usize| si_sdr(&clips[*n].speech, &sounds[*n]);
            let mean = chosen.iter().map(gain).sum::<f64>() / chosen.len() as f64;
            let score = |n: &usize| scores.as_ref().map(|scores| &scores[*n]);
            let scores: Vec<_> = chosen.iter().filter_map(score).collect();
            print_row(&format!("{db} dB"), label, format!("{mean:.1}"), &scores);
        }
    }
    println!("\n| engine | latency | real-time factor, one channel |");
    println!("|---|---|---|");
    for (name, _, engine) in &engines {
        let (latency, factor) = cost(*engine, &clips)?;
        println!("| {name} | {} ms | {factor:.4} |", latency.as_millis());
    }
    if engines.len() == ENGINES.len() {
        let (switched, tone) = switching();
        println!(
            "\nSwitching every half second: steps of at most {switched:.4}, of the tone {tone:.4}"
        );
    }
    println!();
    Ok(())
}

fn selection(engine: Engine) -> Selection {
    Selection { engine, wait: true, ..Selection::default() }
}

/// A mono denoiser with its engine loaded.
fn denoiser(engine: Engine) -> (Denoiser, Selector) {
    let mut denoiser = Denoiser::new(1, Strength::default());
    let mut selector = Selector::default();
    selector.follow(&selection(engine), &mut denoiser);
    (denoiser, selector)
}

/// Latency and processor time per time of sound of an engine, without loading it.
fn cost(engine: Engine, clips: &[Clip]) -> Result<(Duration, f64)> {
    let (mut denoiser, _selector) = denoiser(engine);
    let before = cpu_time()?;
    for clip in clips {
        denoiser.push(&clip.mixed, &mut Vec::new());
    }
    let took = cpu_time()? - before;
    let heard = clips.iter().map(|c| c.mixed.len()).sum::<usize>() as f64 / RATE as f64;
    Ok((denoiser.latency(), took.as_secs_f64() / heard))
}

/// Largest steps between two samples: of a tone that passes while the engine is switched, and off,
/// each half second, and of the tone itself.
fn switching() -> (f32, f32) {
    let turn = std::f32::consts::TAU * 220.0 / RATE as f32;
    let tone: Vec<f32> = (0..RATE * 12).map(|n| 0.25 * (turn * n as f32).sin()).collect();
    let (mut denoiser, mut selector) = denoiser(Engine::Dfn3);
    let mut output = Vec::new();
    for (n, part) in tone.chunks(RATE / 2).enumerate() {
        let engine = if n % 3 == 1 { Engine::Rnnoise } else { Engine::Dfn3 };
        selector.follow(&selection(engine), &mut denoiser);
        let strength = Strength { enabled: n % 3 != 2, max_attenuation_db: 100.0, mix: 1.0 };
        denoiser.set_strength(strength);
        denoiser.push(part, &mut output);
    }
    let step = |x: &[f32]| x.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    (step(&output), step(&tone))
}

/// Processor time of all threads of this process so far, in steps of 10 ms. Unlike wall time it
/// excludes other processes.
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Fields 14 and 15 of proc(5), counted from behind the program's name.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks: Result<Vec<u64>, _> = fields.map(str::parse).collect();
    Ok(Duration::from_millis(ticks?.iter().sum::<u64>() * 10))
}

fn print_row(snr: &str, label: &str, si_sdr: String, scores: &[&[f64; 3]]) {
    let mean = |n: usize| match scores.len() {
        0 => "–".to_owned(),
        count => format!("{:.2}", scores.iter().map(|s| s[n]).sum::<f64>() / count as f64),
    };
    println!("| {snr} | {label} | {si_sdr} | {} | {} | {} |", mean(0), mean(1), mean(2));
}

/// Speech files mixed with a noise each, at every SNR; evenly spaced files of both folders.
fn mix(data: &Path) -> Result<Vec<Clip>> {
    let mut speech: Vec<_> = files(&data.join("speech/p501-48k"))?.into_iter().step_by(5).collect();
    speech.extend(files(&data.join("speech/librispeech"))?.into_iter().step_by(27));
    let noise: Vec<_> = files(&data.join("noise/esc10"))?.into_iter().step_by(17).collect();
    ensure!(!speech.is_empty() && !noise.is_empty(), "no speech or noise in {}", data.display());
    let mut clips = Vec::new();
    for (n, file) in speech.iter().enumerate() {
        let mut voice = load(file)?;
        voice.truncate(PIECE);
        let under = load(&noise[n % noise.len()])?;
        let under: Vec<f32> = under.iter().copied().cycle().take(voice.len()).collect();
        let level = (power(&voice) / power(&under).max(1e-12)).sqrt() as f32;
        for (snr, db) in SNRS_DB.iter().enumerate() {
            let gain = level * 10_f32.powf(-db / 20.0);
            let mixed = voice.iter().zip(&under).map(|(v, u)| v + gain * u).collect();
            clips.push(Clip { snr, speech: voice.clone(), mixed });
        }
    }
    Ok(clips)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<_> = list.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "flac" || e == "ogg"));
    files.sort();
    Ok(files)
}

fn power(x: &[f32]) -> f64 {
    x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len().max(1) as f64
}

/// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019).
fn si_sdr(reference: &[f32], heard: &[f32]) -> f64 {
    let dot: f64 = reference.iter().zip(heard).map(|(r, h)| f64::from(*r) * f64::from(*h)).sum();
    let scale = dot / (power(reference) * reference.len() as f64);
    let (mut target, mut rest) = (0.0, 0.0);
    for (r, h) in reference.iter().zip(heard) {
        let wanted = scale * f64::from(*r);
        target += wanted.powi(2);
        rest += (f64::from(*h) - wanted).powi(2);
    }
    10.0 * (target / rest.max(1e-12)).log10()
}

/// An audio file as mono floats at 48 kHz.
fn load(file: &Path) -> Result<Vec<f32>> {
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin ! audioconvert ! audioresample \
         ! audio/x-raw,format=F32LE,rate=48000,channels=1 ! appsink name=out sync=false",
    )?
    .downcast::<gst::Pipeline>()
    .expect("several elements make a pipeline");
    let source = pipeline.by_name("file").context("no filesrc")?;
    source.set_property("location", file);
    let samples = collect(&pipeline).with_context(|| file.display().to_string())?;
    ensure!(!samples.is_empty(), "{} is empty", file.display());
    Ok(samples)
}

/// Output of `auralinkdenoise` for mono floats at 48 kHz.
fn clean(samples: &[f32], properties: &str) -> Result<Vec<f32>> {
    let description = format!(
        "appsrc name=in format=time caps=audio/x-raw,format=F32LE,rate=48000,channels=1,\
         layout=interleaved ! auralinkdenoise {properties} \
         ! audio/x-raw,format=F32LE,rate=48000 ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&description)?
        .downcast::<gst::Pipeline>()
        .expect("several elements make a pipeline");
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().context("no appsrc")?;
    source.set_max_bytes(0);
    for (n, part) in samples.chunks(RATE / 50).enumerate() {
        let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let writable = buffer.get_mut().expect("sole owner");
        writable.set_pts(gst::ClockTime::from_mseconds(20 * n as u64));
        source.push_buffer(buffer)?;
    }
    source.end_of_stream()?;
    let cleaned = collect(&pipeline)?;
    ensure!(cleaned.len() == samples.len(), "{} of {} samples", cleaned.len(), samples.len());
    Ok(cleaned)
}

fn collect(pipeline: &gst::Pipeline) -> Result<Vec<f32>> {
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().context("no appsink")?;
    pipeline.set_state(gst::State::Playing)?;
    let mut samples = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(30)) {
        let map = sample.buffer().context("a sample without a buffer")?.map_readable()?;
        samples.extend(map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    }
    let ended = sink.is_eos();
    pipeline.set_state(gst::State::Null)?;
    ensure!(ended, "the pipeline stalled");
    Ok(samples)
}

/// SIG, BAK and OVRL of each piece of audio; `None` without a Python that can run the model.
fn dnsmos(data: &Path, folder: &Path, sounds: &[Vec<f32>]) -> Result<Option<Vec<[f64; 3]>>> {
    let python = std::env::var("AURALINK_BENCH_PYTHON")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python").to_owned());
    if !Path::new(&python).exists() {
        eprintln!("denoise: no DNSMOS, {python} is missing: run `make setup`");
        return Ok(None);
    }
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/denoise.py"));
    command.arg(data.join("metrics/dnsmos_sig_bak_ovr.onnx"));
    for (n, audio) in sounds.iter().enumerate() {
        let path = folder.join(format!("{n}.f32"));
        let bytes: Vec<u8> = audio.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(&path, bytes)?;
        command.arg(path);
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("benches/denoise.py ended with {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let line = |line: &str| -> Result<[f64; 3]> {
        let numbers: Result<Vec<f64>, _> = line.split(' ').map(str::parse).collect();
        numbers?.try_into().map_err(|_| anyhow::anyhow!("three numbers, not `{line}`"))
    };
    text.lines().map(line).collect::<Result<Vec<_>>>().map(Some)
}
