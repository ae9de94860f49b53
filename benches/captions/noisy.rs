//! Words that are wrong in noise, with each noise suppression in front and without one.

use std::sync::Arc;

use auralink::speech::denoise::{Denoiser, Engine, Selection, Selector, Strength};
use auralink::speech::stt::{Engines, Wanted};

use crate::support::{self, RATE};
use crate::{accuracy, name};

/// Every how manieth utterance is heard: 20 of them.
const STEP: usize = 4;

const SNRS_DB: [f32; 2] = [10.0, 5.0];

/// Samples per second of noise suppression.
const DENOISE_RATE_HZ: u32 = 48_000;

type Utterances = Vec<(Vec<f32>, String)>;

/// Prints the table. Utterance `n` is mixed with noise `n`, evenly spaced: nothing is random.
pub fn print(engines: &Arc<Engines>, wanted: &[Wanted]) {
    let clean = support::utterances(STEP);
    let Some(folder) = support::data("noise/esc10") else { return };
    let files = support::files(&folder, ".ogg");
    let noises: Vec<Vec<f32>> = files.iter().step_by(17).map(|f| support::load(f)).collect();
    println!("| engine | SNR | as it is | RNNoise | DeepFilterNet |");
    println!("|---|---|---|---|---|");
    let mut mixes = vec![("clean".to_owned(), clean.clone())];
    mixes.extend(SNRS_DB.iter().map(|db| (format!("{db} dB"), mixed(&clean, &noises, *db))));
    for (snr, utterances) in mixes {
        let each = [None, Some(Engine::Rnnoise), Some(Engine::Dfn3)];
        let heard = each.map(|engine| suppressed(&utterances, engine));
        for wanted in wanted {
            let wrong = |utterances: &Option<Utterances>| match utterances {
                Some(utterances) => format!("{:.1} %", accuracy(engines, wanted, utterances).0),
                None => "–".into(),
            };
            let [plain, rnnoise, dfn3] = heard.each_ref().map(wrong);
            println!("| {} | {snr} | {plain} | {rnnoise} | {dfn3} |", name(wanted));
        }
    }
    println!();
}

fn mixed(clean: &Utterances, noises: &[Vec<f32>], snr_db: f32) -> Utterances {
    let power = |x: &[f32]| x.iter().map(|s| s * s).sum::<f32>() / x.len().max(1) as f32;
    let mix = |(n, (voice, text)): (usize, &(Vec<f32>, String))| {
        let noise = &noises[n % noises.len()];
        let ratio = power(voice) / power(noise).max(1e-12);
        let gain = ratio.sqrt() * 10_f32.powf(-snr_db / 20.0);
        let under = noise.iter().cycle().map(|s| s * gain);
        (voice.iter().zip(under).map(|(v, u)| v + u).collect(), text.clone())
    };
    clean.iter().enumerate().map(mix).collect()
}

/// The utterances after noise suppression with its usual settings; `None` if its engine is missing.
fn suppressed(utterances: &Utterances, engine: Option<Engine>) -> Option<Utterances> {
    let Some(engine) = engine else { return Some(utterances.clone()) };
    let mut denoiser = Denoiser::new(1, Strength::default());
    let mut selector = Selector::default();
    let selection = Selection { engine, wait: true, ..Selection::default() };
    selector.follow(&selection, &mut denoiser);
    if let Some(why) = selector.off() {
        println!("without {engine:?}: {why}");
        return None;
    }
    let mut clean = |(audio, text): &(Vec<f32>, String)| {
        let audio = support::resampled(audio, RATE as u32, DENOISE_RATE_HZ);
        let mut output = Vec::new();
        denoiser.push(&audio, &mut output);
        (support::resampled(&output, DENOISE_RATE_HZ, RATE as u32), text.clone())
    };
    Some(utterances.iter().map(&mut clean).collect())
}
