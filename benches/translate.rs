//! Quality and cost of translation: chrF against NTREX for every pair and engine of this machine,
//! sentences per second, and the time of one sentence.
//!
//! `cargo test --bench translate`. Engines besides `basic` come from the configuration in
//! `$AURALINK_CONFIG`. The score is chrF2 as in sacreBLEU (Popović 2015; n-grams of 1-6 characters
//! without spaces, β = 2, over the whole text), checked against it below.

#![allow(missing_docs, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auralink::config;
use auralink::media::Language;
use auralink::speech::translate::{Pair, Request, Translators};

/// Longest n-grams, in characters.
const ORDER: usize = 6;

/// Weight of recall relative to precision, squared.
const BETA_SQUARED: f64 = 4.0;

/// Sentences for an engine that may charge for use.
const REMOTE_SENTENCES: usize = 50;

/// NTREX's names of the languages that both an engine and the data may have.
const FILES: [(&str, &str); 18] = [
    ("ar", "arb"),
    ("de", "deu"),
    ("en", "eng"),
    ("fr", "fra"),
    ("hi", "hin"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("ko", "kor"),
    ("nl", "nld"),
    ("pl", "pol"),
    ("pt", "por"),
    ("pt-BR", "por-BR"),
    ("ru", "rus"),
    ("es", "spa"),
    ("sv", "swe"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("zh", "zho-CN"),
];

#[tokio::main]
async fn main() -> Result<()> {
    check_score()?;
    let data = std::env::var("AURALINK_TEST_DATA").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let texts = data.join("text/ntrex");
    if !texts.exists() {
        println!("translate: skipped, there is no test data in {}", texts.display());
        return Ok(());
    }
    let config = match config::find(None) {
        Some(file) => config::load(Some(&file), [], &[])?,
        None => config::Config::default(),
    };
    let models = auralink::models::Registry::open(&config.models)?;
    let translators = Translators::new(&config.translate, Some(&models), Arc::new(|_| {}))?;
    translators.refresh().await;
    let pairs = translators.pairs();
    println!("\nTranslation, NTREX, {} pairs on this machine\n", pairs.len());
    println!(
        "| pair | engine | via | sentences | chrF2 | untouched | sentences/s | p50 ms | p95 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut without = 0;
    for pair in &pairs {
        match (lines(&texts, &pair.from), lines(&texts, &pair.to)) {
            (Some(source), Some(reference)) => {
                measure(&translators, pair, &source?, &reference?).await?;
            }
            _ => without += 1,
        }
    }
    println!("\n{without} pairs have no reference in NTREX.\n");
    Ok(())
}

fn lines(folder: &Path, language: &Language) -> Option<Result<Vec<String>>> {
    let (_, file) = FILES.iter().find(|(tag, _)| *tag == language.as_str())?;
    let path = folder.join(format!("{file}.txt"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string());
    Some(text.map(|t| t.lines().map(str::to_owned).collect()))
}

async fn measure(
    translators: &Translators,
    pair: &Pair,
    source: &[String],
    reference: &[String],
) -> Result<()> {
    let local = ["basic", "ct2"].contains(&pair.engine.as_str());
    let count = if local { source.len() } else { REMOTE_SENTENCES }.min(source.len());
    let (source, reference) = (&source[..count], &reference[..count]);
    let (mut translated, mut took) = (Vec::new(), Vec::new());
    let request = |text: &str| Request {
        text: text.to_owned(),
        from: pair.from.clone(),
        to: pair.to.clone(),
        engines: vec![pair.engine.clone()],
        context: None,
        glossary: Arc::default(),
    };
    // Excludes the time of loading.
    translators.translate(&request("Hello.")).await?;
    let started = Instant::now();
    for text in source {
        let before = Instant::now();
        translated.push(translators.translate(&request(text)).await?.text);
        took.push(before.elapsed());
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    took.sort();
    let at = |share: f64| ms(took[((count - 1) as f64 * share) as usize]);
    let via: Vec<&str> = pair.via.iter().map(Language::as_str).collect();
    println!(
        "| {} → {} | {} | {} | {count} | {:.1} | {:.1} | {rate:.0} | {:.1} | {:.1} |",
        pair.from,
        pair.to,
        pair.engine,
        if via.is_empty() { "–".to_owned() } else { via.join(", ") },
        chrf(&translated, reference),
        chrf(source, reference),
        at(0.5),
        at(0.95),
    );
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// chrF2 of a whole text, 0-100.
fn chrf(translated: &[String], reference: &[String]) -> f64 {
    let mut precision = 0.0;
    let mut recall = 0.0;
    let mut orders = 0.0;
    for order in 1..=ORDER {
        let (mut made, mut wanted, mut common) = (0, 0, 0);
        for (translated, reference) in translated.iter().zip(reference) {
            let (a, b) = (grams(translated, order), grams(reference, order));
            if b.is_empty() {
                continue;
            }
            made += a.values().sum::<usize>();
            wanted += b.values().sum::<usize>();
            let both = |(gram, n): (&Vec<char>, &usize)| b.get(gram).map_or(0, |m| *n.min(m));
            common += a.iter().map(both).sum::<usize>();
        }
        if made > 0 && wanted > 0 {
            precision += common as f64 / made as f64;
            recall += common as f64 / wanted as f64;
            orders += 1.0;
        }
    }
    if orders == 0.0 || precision + recall == 0.0 {
        return 0.0;
    }
    let (p, r) = (precision / orders, recall / orders);
    100.0 * (1.0 + BETA_SQUARED) * p * r / (BETA_SQUARED * p + r)
}

fn grams(text: &str, order: usize) -> HashMap<Vec<char>, usize> {
    let characters: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut counts = HashMap::new();
    for gram in characters.windows(order) {
        *counts.entry(gram.to_vec()).or_default() += 1;
    }
    counts
}

/// Checks that the score equals that of sacreBLEU 2.6.0: `CHRF().corpus_score(…)`.
fn check_score() -> Result<()> {
    let own = |lines: [&str; 3]| lines.map(str::to_owned).to_vec();
    let translated = own(["El gato está en la estera.", "¡Hola, mundo!", "東京は大きい"]);
    let reference = own(["El gato se sentó en la alfombra.", "Hola, mundo.", "東京は大きな町です"]);
    let score = chrf(&translated, &reference);
    ensure!((score - SACREBLEU).abs() < 1e-6, "chrF2 is {score} instead of {SACREBLEU}");
    Ok(())
}

/// Score of the lines above by sacreBLEU.
const SACREBLEU: f64 = 43.78972958967702;
