//! Forced alignment on synthesised speech whose words are joined by us, so that their times are known.

use std::process::Command;

use auralink::speech::stt::sphinx::Aligner;

use crate::support::{RATE, load};

/// Of the words, nine of ten begin and end within this time of the truth (ms).
const ERROR_MAX_MS: u32 = 200;
const SHARE_MIN: f64 = 0.9;

/// Samples quieter than this at the ends of a word are not part of it.
const SILENCE_MAX: f32 = 0.01;

const TEXT: &str = "Good evening, and welcome to the seven o'clock news. Heavy rain has closed \
    the road between the harbour and the old town. Mrs. Quigglethorpe, who lives nearby, said \
    that nobody had seen such a well-known street under water since 1987. The public council will \
    meet tomorrow morning to discuss what can be done about it.";

/// A word as espeak-ng speaks it, without the silence around it.
fn spoken(word: &str, folder: &std::path::Path) -> Vec<f32> {
    let file = folder.join("word.wav");
    let mut espeak = Command::new("espeak-ng");
    let status = espeak.args(["-v", "en-us", "-w"]).arg(&file).arg(word).status();
    let status = status.expect("espeak-ng starts: `make setup` installs it");
    assert!(status.success());
    let samples = load(&file);
    let loud = |s: &f32| s.abs() > SILENCE_MAX;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(0);
    samples[first..=last].to_vec()
}

#[test]
fn words_of_a_known_text_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let ms = |samples: usize| (samples * 1000 / RATE) as u32;
    let (mut audio, mut truth) = (vec![0.0_f32; RATE / 2], Vec::new());
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    for word in &words {
        let start = ms(audio.len());
        audio.extend(spoken(word, folder.path()));
        truth.push((start, ms(audio.len())));
        // A short gap after each word, a pause after each sentence.
        audio.extend(vec![0.0; if word.ends_with('.') { RATE / 2 } else { RATE / 50 }]);
    }
    // The hiss of a quiet room.
    let hiss = |n: usize| ((n * 7919 % 61) as f32 / 30.0 - 1.0) * 0.001;
    let hissing = audio.iter().enumerate().map(|(n, sample)| sample + hiss(n));
    let samples: Vec<i16> = hissing.map(|sample| (sample * 32_767.0) as i16).collect();
    let mut aligner = Aligner::find().expect("PocketSphinx: `make setup` installs it");
    let begun = std::time::Instant::now();
    let found = aligner.align(&words, &samples).expect("text and audio fit");
    let took = begun.elapsed();
    let near = |(a, b): (&(u32, u32), &(u32, u32))| {
        a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)) <= ERROR_MAX_MS
    };
    let good = found.iter().zip(&truth).filter(|pair| near(*pair)).count();
    let errors: Vec<_> = words.iter().zip(found.iter().zip(&truth)).collect();
    let share = good as f64 / words.len() as f64;
    eprintln!(
        "alignment: {:.0} % of {} words within {ERROR_MAX_MS} ms; {:.1} s of speech in {took:?}",
        share * 100.0,
        words.len(),
        audio.len() as f64 / RATE as f64,
    );
    assert!(share >= SHARE_MIN, "{errors:?}");
}

#[test]
fn a_text_that_was_not_spoken_is_no_alignment() {
    let mut aligner = Aligner::find().expect("PocketSphinx: `make setup` installs it");
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    assert_eq!(aligner.align(&words, &[0; 8000]), None);
    assert_eq!(aligner.align(&["—", "…"], &[0; 8000]), None);
    assert_eq!(aligner.align(&[], &[]), None);
}

/// Growth that is the allocator's: a grammar that is never freed takes 8 KiB.
const GROWTH_MAX_BYTES: u64 = 1 << 20;

/// Runs in its own process, so that no other test uses its memory.
#[test]
#[ignore = "run by `texts_leave_no_memory_behind`"]
fn many_texts() {
    let mut aligner = Aligner::find().expect("PocketSphinx: `make setup` installs it");
    let hiss: Vec<i16> = (0..RATE / 4).map(|n| (n * 7919 % 61) as i16 * 10).collect();
    let words: Vec<&str> = TEXT.split(' ').collect();
    let mut align = |count: usize| {
        // Most texts do not fit the hiss.
        for pair in words.windows(2).cycle().take(count) {
            let _ = aligner.align(pair, &hiss);
        }
        auralink::telemetry::process_usage(std::process::id()).0
    };
    let (before, after) = (align(100), align(400));
    eprintln!("{} KiB more", after.saturating_sub(before) >> 10);
    assert!(after < before + GROWTH_MAX_BYTES, "{before} to {after} bytes");
}

#[test]
fn texts_leave_no_memory_behind() {
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["align::many_texts", "--exact", "--ignored", "--nocapture"])
        .output()
        .expect("it starts again");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{said}");
}
