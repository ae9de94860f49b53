//! Voices in figures, for every text-to-speech engine of this machine: time to the first sample of
//! a phrase, and time per second of speech.
//!
//! `cargo bench --bench voices`. Engines speak a phrase as a whole, so its first sample comes with
//! its last. The phrases are the first of NTREX: nothing is random.

#![allow(missing_docs, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use auralink::config;
use auralink::speech::tts::{TEXT_CHARS_MAX, Utterance, Voices};

/// Phrases of each language.
const PHRASES: usize = 100;

/// Languages with their file of NTREX.
const LANGUAGES: [(&str, &str); 5] =
    [("en", "eng"), ("es", "spa"), ("de", "deu"), ("fr", "fra"), ("pt-BR", "por-BR")];

#[tokio::main]
async fn main() -> Result<()> {
    let data = std::env::var("AURALINK_TEST_DATA").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let config = match config::find(None) {
        Some(file) => config::load(Some(&file), [], &[])?,
        None => config::Config::default(),
    };
    let voices = Voices::new(&config.tts, Arc::new(|_| {}))?;
    println!("\nVoices, NTREX, {PHRASES} phrases each\n");
    println!("| language | engine | first sample p50/p95 ms | real-time factor |");
    println!("|---|---|---|---|");
    for (tag, file) in LANGUAGES {
        let phrases = phrases(&data.join("text/ntrex"), file);
        if phrases.is_empty() {
            println!("| {tag} | no phrases in the test data | – | – |");
            continue;
        }
        for engine in ["espeak", "piper", "openai", "elevenlabs"] {
            measure(&voices, tag, engine, &phrases).await?;
        }
    }
    Ok(())
}

fn phrases(folder: &Path, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{language}.txt")));
    let text = text.unwrap_or_default();
    let fits = |line: &&str| !line.is_empty() && line.chars().count() <= TEXT_CHARS_MAX;
    text.lines().filter(fits).take(PHRASES).map(str::to_owned).collect()
}

async fn measure(voices: &Voices, tag: &str, engine: &str, phrases: &[String]) -> Result<()> {
    let (only, mut took, mut spoken) = ([engine.to_owned()], Vec::new(), 0.0);
    for text in phrases {
        let utterance = Utterance {
            text: text.clone(),
            language: tag.parse()?,
            voice: None,
            rate: 1.0,
            pitch: 1.0,
        };
        let begun = Instant::now();
        let Ok(speech) = voices.speak(&utterance, &only).await else { return Ok(()) };
        took.push(begun.elapsed().as_secs_f64());
        spoken += speech.pcm.duration().as_secs_f64();
    }
    let total: f64 = took.iter().sum();
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] * 1000.0;
    let (half, most, factor) = (at(0.5), at(0.95), total / spoken);
    println!("| {tag} | {engine} | {half:.0} / {most:.0} | {factor:.3} |");
    Ok(())
}
