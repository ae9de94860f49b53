//! Audio without speech produces no words.

use std::time::Duration;

use auralink::speech::stt::{Config, Models};

use crate::support::{self, Listener, committed, english};

#[test]
fn noise_and_music_make_no_words() {
    hear_noise("basic", Models::default());
}

#[test]
fn noise_and_music_make_no_words_with_moonshine() {
    if let Some(models) = crate::moonshine::models() {
        hear_noise("moonshine", models);
    }
}

fn hear_noise(engine: &str, models: Models) {
    let Some(folder) = support::data("noise/esc10") else { return };
    let engines = support::engines(&Config::default(), models);
    let listener = Listener::new(&engines, english(&[engine]), true);
    let stats = listener.transcriber.stats();
    let mut at = Duration::ZERO;
    let mut names = Vec::new();
    for file in support::files(&folder, ".ogg") {
        names.push((at, file.file_stem().unwrap_or_default().to_string_lossy().into_owned()));
        at = listener.push(at, &support::load(&file));
    }
    names.push((at, "music".into()));
    at = listener.push(at, &support::music(60));
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
