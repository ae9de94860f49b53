//! Piper on the processor and on a GPU: the same numbers, what they cost, and how well both are understood.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use auralink::onnx::{Device, Runtime};
use auralink::speech::tts::{Models, Voices};
use ort::session::Session;
use ort::value::Tensor;

use crate::{folders, needs, understood};

/// Lengths of the sentences, in phonemes.
const LENGTHS: [usize; 5] = [20, 50, 100, 50, 200];

/// Phonemes of a Piper voice that begin and end a sentence; 0 stands between any two.
const BEGIN_ID: i64 = 1;
const END_ID: i64 = 2;

/// Compares both, or says why it cannot.
pub async fn print(voices: &Voices, texts: &[String]) -> Result<()> {
    let models = Models::scan(&folders());
    let (Some((_, model)), Some(library)) = (models.piper.first(), &models.onnxruntime) else {
        needs::skip("a Piper voice and ONNX Runtime, from `auralink models pull`");
        return Ok(());
    };
    let runtime = Runtime::open(library)?;
    let (mut processor, _) = runtime.load(model, 1, Device::Cpu)?;
    let (mut other, choice) = runtime.load(model, 1, Device::Cuda)?;
    if let Some(why) = choice.why {
        let fix = why.fix().unwrap_or_default();
        needs::skip(format!("a GPU for Piper: {why}; {fix}"));
        return Ok(());
    }
    let rate_hz = rate_hz(model)?;
    println!("\nPiper, one core beside a GPU: real-time factors\n");
    println!("| phonemes | speech s | cpu | cuda, first time | cuda, again | difference dB |");
    println!("|---|---|---|---|---|---|");
    for length in LENGTHS {
        let (ours, cost) = timed(&mut processor, length)?;
        let (theirs, first) = timed(&mut other, length)?;
        let (_, again) = timed(&mut other, length)?;
        let speech_s = ours.len() as f64 / rate_hz;
        let of = |seconds: f64| seconds / speech_s;
        let (cost, first, again) = (of(cost), of(first), of(again));
        let difference = difference_db(&ours, &theirs);
        println!(
            "| {length} | {speech_s:.1} | {cost:.3} | {first:.3} | {again:.3} | {difference} |"
        );
    }
    println!("\nMoonshine runs on the processor only (docs/gpu.md). Its words of the same texts\n");
    println!("| engine | heard by | words wrong |");
    println!("|---|---|---|");
    for device in [Device::Cpu, Device::Cuda] {
        voices.set_models(&Models { device, ..models.clone() });
        print!("{device}: ");
        understood(voices, "piper", texts).await?;
    }
    Ok(())
}

/// Samples per second of a voice.
fn rate_hz(model: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(format!("{}.json", model.display()))?;
    let description: serde_json::Value = serde_json::from_str(&text)?;
    description["audio"]["sample_rate"].as_f64().context("the voice has no sample rate")
}

/// Samples of a sentence without the noise of the model, and the seconds that they took.
fn timed(session: &mut Session, length: usize) -> Result<(Vec<f32>, f64)> {
    let mut ids = vec![BEGIN_ID];
    for n in 0..length {
        ids.extend([0, 14 + n as i64 * 7 % 40]);
    }
    ids.extend([0, END_ID]);
    let count = ids.len();
    let begun = Instant::now();
    let outputs = session.run(ort::inputs![
        "input" => Tensor::from_array(([1, count], ids))?,
        "input_lengths" => Tensor::from_array(([1], vec![count as i64]))?,
        "scales" => Tensor::from_array(([3], vec![0.0_f32, 1.0, 0.0]))?,
    ])?;
    let (_, samples) = outputs["output"].try_extract_tensor::<f32>()?;
    Ok((samples.to_vec(), begun.elapsed().as_secs_f64()))
}

/// Power of the difference below that of the samples, in dB.
fn difference_db(ours: &[f32], theirs: &[f32]) -> String {
    if ours.len() != theirs.len() {
        return format!("{} samples beside {}", theirs.len(), ours.len());
    }
    let power = |samples: &mut dyn Iterator<Item = f32>| samples.map(|s| s * s).sum::<f32>();
    let difference = power(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
    format!("{:.0}", 10.0 * (difference / power(&mut ours.iter().copied())).log10())
}
