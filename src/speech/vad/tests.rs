//! Detectors on real speech and noise.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;
use crate::needs::test_data as data;

/// Every `step`th file of a folder, as 16 kHz mono.
fn sounds(folder: &Path, step: usize) -> Vec<(String, Vec<f32>)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "ogg" || e == "flac" || e == "wav"));
    files.sort();
    let load = |file: &PathBuf| {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(file)
            .args(["-f", "s16le", "-ac", "1", "-ar", "16000", "-"])
            .output()
            .expect("ffmpeg starts: `make setup` installs it");
        let sample = |b: &[u8]| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, output.stdout.chunks_exact(2).map(sample).collect())
    };
    files.iter().step_by(step).map(load).collect()
}

/// The speech of each utterance that a gate passes.
fn passed(detector: &mut dyn Detector, config: GateConfig, audio: &[f32]) -> Vec<SpeechSegment> {
    detector.reset();
    let mut gate = Gate::new(config);
    let frame = detector.frame();
    let length = Duration::from_secs_f64(frame as f64 / SPEECH_RATE_HZ as f64);
    let mut found = Vec::new();
    for piece in audio.chunks_exact(frame) {
        if let Some(Edge::Closed(spoken)) = gate.step(detector.probability(piece), length) {
            found.push(spoken);
        }
    }
    found.extend(gate.close());
    found
}

/// Share of the audio that passes a detector's gate, for speech and for noise.
fn shares(detector: &mut dyn Detector, config: GateConfig) -> Option<(f64, f64)> {
    let (speech, noise) = (data("speech/librispeech")?, data("noise/esc10")?);
    let mut share = |sounds: &[(String, Vec<f32>)]| {
        let total: f64 = sounds.iter().map(|(_, s)| s.len() as f64 / SPEECH_RATE_HZ as f64).sum();
        let mut heard = |s: &Vec<f32>| passed(detector, config, s);
        let open: Duration = sounds.iter().flat_map(|(_, s)| heard(s)).map(|s| s.lasted).sum();
        open.as_secs_f64() / total
    };
    let speech = share(&sounds(&speech, 9));
    let noise = share(&sounds(&noise, 3));
    Some((speech, noise))
}

#[test]
fn earshot_tells_speech_from_noise() {
    let mut earshot = Earshot::default();
    let config = earshot.thresholds();
    let Some((speech, noise)) = shares(&mut earshot, config) else { return };
    eprintln!("earshot: {:.1} % of speech, {:.1} % of noise", speech * 100.0, noise * 100.0);
    assert!(speech > 0.85, "{speech}");
    assert!(noise < 0.35, "{noise}");
}

#[test]
fn silero_tells_speech_from_noise() {
    let mut silero = Silero::new().expect("the model loads");
    let config = silero.thresholds();
    let begun = std::time::Instant::now();
    let Some((speech, noise)) = shares(&mut silero, config) else { return };
    eprintln!(
        "silero: {:.1} % of speech, {:.1} % of noise, {:?}",
        speech * 100.0,
        noise * 100.0,
        begun.elapsed()
    );
    assert!(speech > 0.85, "{speech}");
    assert!(noise < 0.04, "{noise}");
}

#[test]
fn the_weights_are_those_of_the_manifest() {
    let manifest = include_str!("../../../models/silero-v6.2.0.toml");
    let weights = include_bytes!("../../../models/silero-v6.2.0/ggml-silero-v6.2.0.bin");
    let hash: String = Sha256::digest(weights).iter().map(|b| format!("{b:02x}")).collect();
    assert!(manifest.contains(&format!("sha256 = \"{hash}\"")), "{hash}");
    assert!(manifest.contains(&format!("size = {}", weights.len())));
}

#[test]
fn a_stream_gets_silero_where_nothing_is_installed() {
    assert_eq!(detector().frame(), 512, "Earshot takes 256");
}
