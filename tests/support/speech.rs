//! Real speech as a stream, and the quality of its transcript.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::media::once;
use super::needs::test_data;
use super::spelling::spelled;

/// Read speech with its text.
pub(crate) struct Speech {
    /// MPEG-TS of test video (H.264 with B-frames) and the speech (AAC).
    pub(crate) file: PathBuf,
    /// The spoken text, in lower case.
    pub(crate) text: String,
    /// Its length in seconds.
    pub(crate) seconds: u32,
}

/// The first `clips` clips of LibriSpeech, with a pause after each; `None`, with a message, if the
/// test data are missing.
pub(crate) fn speech(clips: usize) -> Option<Speech> {
    let folder = test_data("speech/librispeech")?;
    let transcripts = fs::read_to_string(folder.join("transcripts.tsv")).expect("transcripts");
    let lines: Vec<(&str, &str)> =
        transcripts.lines().filter_map(|line| line.split_once('\t')).take(clips).collect();
    let file = once(&format!("speech-{clips}.ts"), |unfinished| make(&folder, &lines, unfinished));
    let text = lines.iter().map(|(_, text)| *text).collect::<Vec<_>>().join(" ").to_lowercase();
    Some(Speech { seconds: length(&file), file, text })
}

fn make(folder: &Path, lines: &[(&str, &str)], file: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args("-v error -nostdin -y -f lavfi -i testsrc2=s=640x360:r=25".split(' '));
    for (name, _) in lines {
        command.arg("-i").arg(folder.join(format!("{name}.flac")));
    }
    let padded: String =
        (1..=lines.len()).map(|n| format!("[{n}:a]apad=pad_dur=0.8[p{n}];")).collect();
    let joined: String = (1..=lines.len()).map(|n| format!("[p{n}]")).collect();
    let graph = format!("{padded}{joined}concat=n={}:v=0:a=1,apad=pad_dur=3[sound]", lines.len());
    command.args(["-filter_complex", &graph, "-map", "0:v", "-map", "[sound]", "-shortest"]);
    command.args("-c:v libx264 -preset veryfast -b:v 600k -g 50 -bf 2".split(' '));
    command.args("-c:a aac -b:a 96k -ar 48000 -ac 2 -f mpegts".split(' '));
    let status = command.arg(file).status().expect("ffmpeg is installed: run `make setup`");
    assert!(status.success(), "ffmpeg cannot make {}", file.display());
}

fn length(file: &Path) -> u32 {
    let mut command = Command::new("ffprobe");
    command.args("-v error -show_entries format=duration -of csv=p=0".split(' ')).arg(file);
    let told = command.output().expect("ffprobe is installed: run `make setup`").stdout;
    let told: f64 = String::from_utf8_lossy(&told).trim().parse().expect("a length");
    told.ceil() as u32
}

/// The words of a text: lower case, letters and apostrophes, numbers spelled out.
pub(crate) fn words(text: &str) -> Vec<String> {
    let plain = |c: char| if c.is_alphanumeric() || c == '\'' { c } else { ' ' };
    let lower: String = text.to_lowercase().replace('\u{2019}', "'").chars().map(plain).collect();
    lower.split_whitespace().flat_map(spelled).collect()
}

/// Word error rate: substitutions, deletions and insertions per word of the reference.
pub(crate) fn word_error_rate(reference: &str, heard: &str) -> f64 {
    let (reference, heard) = (words(reference), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (n, wanted) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = n + 1;
        for (m, word) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(word != wanted);
            diagonal = row[m + 1];
            row[m + 1] = substituted.min(diagonal + 1).min(row[m] + 1);
        }
    }
    row[heard.len()] as f64 / reference.len().max(1) as f64
}

/// Share of the words of `part` that are in `whole` in the same order, 0-1.
pub(crate) fn share_in_order(part: &str, whole: &str) -> f64 {
    let (part, whole) = (words(part), words(whole));
    let mut row = vec![0_usize; whole.len() + 1];
    for word in &part {
        let mut diagonal = 0;
        for (m, other) in whole.iter().enumerate() {
            let found = if word == other { diagonal + 1 } else { row[m + 1].max(row[m]) };
            diagonal = row[m + 1];
            row[m + 1] = found;
        }
    }
    row[whole.len()] as f64 / part.len().max(1) as f64
}
