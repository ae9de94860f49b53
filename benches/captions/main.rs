//! Captions in figures, for every speech-to-text engine of this machine: word errors, also in noise
//! with and without noise suppression; delay of text after the voice and cost for 1, 2, 4 and 8
//! streams at once; words that were not spoken.
//!
//! `cargo test --bench captions`, or `cargo test --bench captions -- moonshine` for engines of that
//! name alone; with `--live` only what is paced in real time, with `--noisy` only what is in noise, with
//! `--hour` an hour of speech through each engine, which takes a quarter of one. Models are searched in `AURALINK_MODELS` (folders
//! joined by `:`), else in `/var/lib/auralink/models` and `./models`. Streams are paced in real time,
//! so it takes some minutes. The set is fixed: nothing is random.

#![allow(missing_docs, unreachable_pub, dead_code, clippy::print_stdout)]

mod hour;
mod noisy;

#[path = "../../tests/support/needs.rs"]
mod needs;
#[path = "../../tests/support/spelling.rs"]
mod spelling;
#[path = "../../tests/stt/support.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use auralink::speech::stt::{Config, Engines, Event, Models, Vad, Wanted};
use support::{Listener, RATE, committed, english, errors, normal};

/// Audio of each stream in real time.
const PACED: Duration = Duration::from_secs(60);

/// Silence between utterances, in samples.
const PAUSE_SAMPLES: usize = RATE * 6 / 10;

fn main() {
    if support::data("speech/librispeech").is_none() {
        return;
    }
    let models = models();
    println!("\nCaptions\n");
    let utterances = support::utterances(1);
    let config = Config { basic_streams_max: 8, ..Config::default() };
    let engines = Arc::new(Engines::new(&config, models.clone()));
    let wanted = installed(&engines, &models);
    let is_asked = |mode: &str| std::env::args().any(|a| a == mode);
    if is_asked("--hour") {
        wanted.iter().for_each(|wanted| hour::print(&engines, wanted, &utterances));
        return;
    }
    if is_asked("--noisy") {
        noisy::print(&engines, &wanted);
        return;
    }
    if !is_asked("--live") {
        for vad in [Vad::Silero, Vad::Earshot] {
            words(vad, &models, &utterances);
        }
        noisy::print(&engines, &wanted);
    }
    println!(
        "| engine | streams | committed p50/p95 s | words p50/p95 s | partial p50/p95 s | real-time factor | skipped s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for wanted in &wanted {
        for streams in [1, 2, 4, 8] {
            paced(&engines, wanted, &utterances, streams);
        }
    }
}

/// Word errors behind a voice activity detector.
fn words(vad: Vad, models: &Models, utterances: &[(Vec<f32>, String)]) {
    let engines = Arc::new(Engines::new(&Config { vad, ..Config::default() }, models.clone()));
    println!("voice activity: {vad:?}\n");
    println!("| engine | words wrong | real-time factor | words per 10 min of noise and music |");
    println!("|---|---|---|---|");
    for wanted in installed(&engines, models) {
        let (wrong, factor) = accuracy(&engines, &wanted, utterances);
        let invented = noise(&engines, &wanted);
        println!("| {} | {wrong:.1} % | {factor:.2} | {invented:.1} |", name(&wanted));
    }
    println!();
}

fn models() -> Models {
    let named = std::env::var("AURALINK_MODELS");
    let named = named.unwrap_or_else(|_| "/var/lib/auralink/models:./models".into());
    let folders: Vec<PathBuf> = std::env::split_paths(&named).collect();
    Models::scan(&folders)
}

/// Each engine, and each Whisper model, that supports English here.
fn installed(engines: &Engines, models: &Models) -> Vec<Wanted> {
    let labels = models.whisper.iter().map(|path| auralink::speech::stt::whisper::label(path));
    let whisper = labels.map(|label| Wanted { model: Some(label), ..english(&["whisper"]) });
    let others = [english(&["moonshine"]), english(&["openai"]), english(&["basic"])];
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_asked = |w: &Wanted| asked.is_empty() || asked.iter().any(|a| name(w).contains(a));
    let here = |w: &Wanted| !engines.choose(w).engines.is_empty();
    whisper.chain(others).filter(|w| is_asked(w) && here(w)).collect()
}

fn name(wanted: &Wanted) -> String {
    let engine = wanted.engines.join(",");
    wanted.model.as_ref().map_or(engine.clone(), |model| format!("{engine} {model}"))
}

/// Word error rate in percent, and the real-time factor.
fn accuracy(
    engines: &Arc<Engines>,
    wanted: &Wanted,
    utterances: &[(Vec<f32>, String)],
) -> (f64, f64) {
    let listener = Listener::new(engines, wanted.clone(), true);
    let stats = listener.transcriber.stats();
    let (mut said, mut at) = (Vec::new(), Duration::ZERO);
    for (audio, text) in utterances {
        said.extend(normal(text));
        at = listener.push(at, audio);
        at = listener.push(at, &vec![0.0; PAUSE_SAMPLES]);
    }
    let cues = committed(&listener.finish());
    let text: Vec<&str> = cues.iter().map(|c| c.text.as_str()).collect();
    let wrong = errors(&said, &normal(&text.join(" ")));
    (100.0 * wrong as f64 / said.len() as f64, stats.real_time_factor())
}

/// Words per ten minutes of noise and music.
fn noise(engines: &Arc<Engines>, wanted: &Wanted) -> f64 {
    let Some(folder) = support::data("noise/esc10") else { return f64::NAN };
    let listener = Listener::new(engines, wanted.clone(), true);
    let mut at = Duration::ZERO;
    for file in support::files(&folder, ".ogg") {
        at = listener.push(at, &support::load(&file));
    }
    at = listener.push(at, &support::music(60));
    let cues = committed(&listener.finish());
    let words: usize = cues.iter().map(|c| c.words.len()).sum();
    words as f64 * 600.0 / at.as_secs_f64()
}

/// Parallel streams, each with other speech, in real time.
fn paced(
    engines: &Arc<Engines>,
    wanted: &Wanted,
    utterances: &[(Vec<f32>, String)],
    streams: usize,
) {
    let mut sounds = vec![Vec::new(); streams];
    let longest = (PACED.as_secs_f64() * RATE as f64) as usize;
    for (n, (audio, _)) in utterances.iter().enumerate() {
        let stream: &mut Vec<f32> = &mut sounds[n % streams];
        if stream.len() < longest {
            stream.extend(audio);
            stream.extend([0.0; PAUSE_SAMPLES]);
        }
    }
    let running: Vec<_> = sounds
        .into_iter()
        .map(|audio| {
            let listener = Listener::new(engines, wanted.clone(), false);
            thread::spawn(move || listen(listener, &audio))
        })
        .collect();
    let mut all = Delays::default();
    for stream in running {
        let one = stream.join().expect("a stream ends");
        all.committed.extend(one.committed);
        all.words.extend(one.words);
        all.partial.extend(one.partial);
        all.factor += one.factor / streams as f64;
        all.skipped += one.skipped;
    }
    let (committed, words) = (percentiles(&mut all.committed), percentiles(&mut all.words));
    println!(
        "| {} | {streams} | {committed} | {words} | {} | {:.2} | {:.1} |",
        name(wanted),
        percentiles(&mut all.partial),
        all.factor,
        all.skipped,
    );
}

/// Delays after the voice, in seconds.
#[derive(Default)]
struct Delays {
    committed: Vec<f64>,
    words: Vec<f64>,
    partial: Vec<f64>,
    factor: f64,
    skipped: f64,
}

fn listen(mut listener: Listener, audio: &[f32]) -> Delays {
    let listening =
        |e: &Event| matches!(e, Event::State(s) if format!("{s:?}").starts_with("Listening"));
    listener.wait_for("the engine", listening);
    let begun = Instant::now();
    let mut at = Duration::ZERO;
    for piece in audio.chunks(RATE / 50) {
        at += Duration::from_secs_f64(piece.len() as f64 / RATE as f64);
        // A piece is available when its last sample has been spoken.
        thread::sleep(at.saturating_sub(begun.elapsed()));
        listener.transcriber.push(at - Duration::from_millis(20), piece);
    }
    let stats = listener.transcriber.stats();
    let mut delays = Delays::default();
    for (when, event) in listener.finish_timed() {
        let after = |said: Duration| {
            (when.saturating_duration_since(begun).as_secs_f64() - said.as_secs_f64()).max(0.0)
        };
        match event {
            Event::Committed(cue) => {
                delays.committed.push(after(cue.end));
                delays.words.extend(cue.words.iter().map(|w| after(w.end)));
            }
            Event::Partial(cue) => delays.partial.push(after(cue.end)),
            _ => {}
        }
    }
    delays.factor = stats.real_time_factor();
    delays.skipped = stats.skipped_ms.load(std::sync::atomic::Ordering::Relaxed) as f64 / 1000.0;
    delays
}

fn percentiles(delays: &mut [f64]) -> String {
    if delays.is_empty() {
        return "–".into();
    }
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    format!("{:.2} / {:.2}", at(0.5), at(0.95))
}
