//! Voices in figures, for every text-to-speech engine of this machine: time to the first sound of a
//! text, time per second of speech, and for English the words that are not understood.
//!
//! `cargo test --bench voices`; with `-- --gpu` Piper on the processor beside Piper on a GPU. A text is spoken sentence by sentence, so its first sound comes with
//! its first sentence. Moonshine hears if it is installed, else the basic engine, and adds its own
//! errors. Models are searched in `AURALINK_MODELS` (folders joined by `:`), else in
//! `/var/lib/auralink/models` and `./models`. The texts are the first of NTREX: nothing is random but
//! the noise in Piper's voices.

#![allow(missing_docs, unreachable_pub, dead_code, clippy::print_stdout)]

mod gpu;

#[path = "../../tests/support/needs.rs"]
mod needs;
#[path = "../../tests/support/spelling.rs"]
mod spelling;
#[path = "../../tests/stt/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use auralink::config;
use auralink::speech::stt;
use auralink::speech::tts::{self, TEXT_CHARS_MAX, Utterance, Voices, sentences};
use support::{RATE, errors, heard, normal, resampled};

/// Texts of each language.
const TEXTS: usize = 28;

/// Longest English text, in characters.
const CHARS_MAX: usize = 160;

/// Languages with their file of NTREX.
const LANGUAGES: [(&str, &str); 5] =
    [("en", "eng"), ("es", "spa"), ("de", "deu"), ("fr", "fra"), ("pt-BR", "por-BR")];

#[tokio::main]
async fn main() -> Result<()> {
    let Some(data) = support::data("text/ntrex") else { return Ok(()) };
    let mut config = match config::find(None) {
        Some(file) => config::load(Some(&file), [], &[])?,
        None => config::Config::default(),
    };
    // A model loads with its first sentence, even on a busy machine.
    config.tts.timeout_ms = 60_000;
    let voices = Voices::new(&config.tts, Arc::new(|_| {}))?;
    if std::env::args().any(|argument| argument == "--gpu") {
        return gpu::print(&voices, &texts(&data, "en", "eng")).await;
    }
    voices.set_models(&tts::Models::scan(&folders()));
    println!("\nVoices, NTREX, {TEXTS} texts each\n");
    println!("| language | engine | first sound p50/p95 ms | real-time factor |");
    println!("|---|---|---|---|");
    for (tag, file) in LANGUAGES {
        let texts = texts(&data, tag, file);
        for engine in &config.tts.engines {
            measure(&voices, tag, engine, &texts).await?;
        }
    }
    let english = texts(&data, "en", "eng");
    println!("\nHow well they are understood, the same English texts\n");
    println!("| engine | heard by | words wrong |");
    println!("|---|---|---|");
    for engine in &config.tts.engines {
        understood(&voices, engine, &english).await?;
    }
    Ok(())
}

fn folders() -> Vec<PathBuf> {
    let named = std::env::var("AURALINK_MODELS");
    let named = named.unwrap_or_else(|_| "/var/lib/auralink/models:./models".into());
    std::env::split_paths(&named).collect()
}

fn texts(folder: &Path, tag: &str, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{file}.txt"))).unwrap_or_default();
    let fits = |line: &&str| !line.is_empty() && line.chars().count() <= TEXT_CHARS_MAX;
    let fits = text.lines().filter(fits).filter(|line| tag != "en" || is_plain(line));
    fits.take(TEXTS).map(str::to_owned).collect()
}

/// Whether a text is read as it is written: no digits, no shortenings, no foreign letters.
fn is_plain(text: &str) -> bool {
    let capitals = |word: &str| word.chars().filter(|c| c.is_uppercase()).count() > 1;
    let letters = |c: char| c.is_ascii_alphabetic() || " ,.'?!;".contains(c);
    text.chars().count() <= CHARS_MAX
        && text.chars().all(letters)
        && !text.split_whitespace().any(capitals)
}

fn utterance(tag: &str, text: &str) -> Result<Utterance> {
    let (text, language) = (text.to_owned(), tag.parse()?);
    Ok(Utterance { text, language, voice: None, rate: 1.0, pitch: 1.0 })
}

async fn measure(voices: &Voices, tag: &str, engine: &str, texts: &[String]) -> Result<()> {
    let only = [engine.to_owned()];
    if voices.speak(&utterance(tag, "One.")?, &only).await.is_err() {
        return Ok(());
    }
    let (mut first, mut total, mut spoken) = (Vec::new(), 0.0, 0.0);
    for text in texts {
        let begun = Instant::now();
        for (n, sentence) in sentences(text).into_iter().enumerate() {
            let speech = voices.speak(&utterance(tag, sentence)?, &only).await?;
            if n == 0 {
                first.push(begun.elapsed().as_secs_f64());
            }
            spoken += speech.pcm.duration().as_secs_f64();
        }
        total += begun.elapsed().as_secs_f64();
    }
    first.sort_by(f64::total_cmp);
    let at = |share: f64| first[((first.len() - 1) as f64 * share) as usize] * 1000.0;
    let (half, most, factor) = (at(0.5), at(0.95), total / spoken);
    println!("| {tag} | {engine} | {half:.0} / {most:.0} | {factor:.3} |");
    Ok(())
}

async fn understood(voices: &Voices, engine: &str, texts: &[String]) -> Result<()> {
    let only = [engine.to_owned()];
    let mut clips = Vec::new();
    for text in texts {
        let Ok(speech) = voices.speak(&utterance("en", text)?, &only).await else { return Ok(()) };
        clips.push(resampled(&speech.pcm.samples, speech.pcm.rate_hz, RATE as u32));
    }
    let models = stt::Models::scan(&folders());
    let listener = if models.moonshine.is_some() { "moonshine" } else { "basic" };
    let engines = support::engines(&stt::Config::default(), models);
    let said = normal(&texts.join(" "));
    let written = heard(&engines, &[listener], &clips);
    let wrong = 100.0 * errors(&said, &written) as f64 / said.len() as f64;
    println!("| {engine} | {listener} | {wrong:.1} % |");
    Ok(())
}
