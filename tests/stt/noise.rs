//! Sound that is no speech makes no words.

use std::time::Duration;

use auralink::speech::stt::Config;

use crate::support::{self, Listener, RATE, committed, english};

/// Music, more or less: chords of plucked strings that change twice a second, with a beat.
fn music(seconds: usize) -> Vec<f32> {
    const CHORDS: [[f32; 3]; 4] = [
        [220.0, 277.2, 329.6],
        [196.0, 246.9, 293.7],
        [174.6, 220.0, 261.6],
        [164.8, 207.7, 246.9],
    ];
    (0..seconds * RATE)
        .map(|n| {
            let t = n as f32 / RATE as f32;
            let within = t % 0.5;
            let chord = CHORDS[(t / 0.5) as usize % CHORDS.len()];
            let string = |f: &f32| {
                let overtones = (1..6).map(|k| {
                    let k = k as f32;
                    (std::f32::consts::TAU * f * k * t).sin() * (-within * 3.0 * k).exp() / k
                });
                overtones.sum::<f32>()
            };
            let noise =
                ((n as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let beat = noise * (-within * 40.0).exp();
            0.1 * chord.iter().map(string).sum::<f32>() + 0.15 * beat
        })
        .collect()
}

#[test]
fn noise_and_music_make_no_words() {
    let Some(folder) = support::data("noise/esc10") else { return };
    let engines = support::engines(&Config::default(), support::models());
    let listener = Listener::new(&engines, english(&["basic"]), true);
    let stats = listener.transcriber.stats();
    let mut at = Duration::ZERO;
    let mut names = Vec::new();
    for file in support::files(&folder, ".ogg") {
        names.push((at, file.file_stem().unwrap_or_default().to_string_lossy().into_owned()));
        at = listener.push(at, &support::load(&file));
    }
    names.push((at, "music".into()));
    at = listener.push(at, &music(60));
    let cues = committed(&listener.finish());
    for cue in &cues {
        let name = names.iter().rev().find(|(from, _)| *from <= cue.start).map(|(_, n)| n.as_str());
        eprintln!("{:?} {:.2}: {}", name, cue.confidence(), cue.text);
    }
    let words: usize = cues.iter().map(|c| c.words.len()).sum();
    let minutes = at.as_secs_f64() / 60.0;
    eprintln!("{words} words in {minutes:.1} minutes of noise; {stats:?}");
    assert!(minutes > 10.0);
    assert_eq!(words, 0);
}
