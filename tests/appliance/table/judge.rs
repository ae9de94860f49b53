//! Cells of the table, and whether they pass.

use std::collections::BTreeSet;

use super::count::Counted;
use super::input::Input;

/// Audio that may be missing in a whole recording: encoder priming and the last incomplete block,
/// s.
const SOUND_SLACK_S: f64 = 0.1;

/// Audio that may be missing in the middle: rounding of blocks, s.
const SOUND_HOLE_S: f64 = 0.045;

/// The same for a browser's jitter buffer, which conceals late packets, s.
const WHEP_HOLE_S: f64 = 0.25;

/// Shortest video and audio of a viewer for a valid result, s.
const WATCHED_MIN_S: f64 = 1.0;

/// One cell of the table.
pub(super) struct Cell {
    text: String,
    /// What is missing.
    missing: Vec<String>,
    /// The stream's note about it.
    said: Option<String>,
}

impl Cell {
    /// What is missing without a note of the stream.
    pub(super) fn loss(&self) -> Option<String> {
        let silent = !self.missing.is_empty() && self.said.is_none();
        silent.then(|| self.missing.join(", "))
    }

    /// What is missing, with the stream's note.
    pub(super) fn word(&self) -> Option<String> {
        let said = self.said.as_ref()?;
        (!self.missing.is_empty()).then(|| format!("{}; it says: {said}", self.missing.join(", ")))
    }

    /// The cell in this many columns: red for a loss without a note, yellow for one with a note.
    pub(super) fn printed(&self, columns: usize) -> String {
        let text = format!("{:<width$}", self.text, width = columns - 2);
        match (self.missing.is_empty(), &self.said) {
            (true, _) => format!("  {text}"),
            (false, Some(_)) => format!("\x1b[33m~ {text}\x1b[0m"),
            (false, None) => format!("\x1b[31m! {text}\x1b[0m"),
        }
    }
}

/// Compares output with input. `seams`: gaps that the input already has.
pub(super) fn cell(
    input: &Input,
    output: &str,
    sent: &Counted,
    got: &Counted,
    seams: &Counted,
    notes: &BTreeSet<String>,
) -> Cell {
    // A recording covers the input from its first to its last frame; viewers join later. Endless
    // audio is stopped at any time.
    let whole = output == "recording" && !input.is_endless_sound();
    let seam_pictures = seams.video.as_ref().map_or(0, |video| video.missing);
    let seam_s = seams.audio.as_ref().map_or(0.0, |audio| audio.missing_s);
    let hole_max_s = if output == "whep" { WHEP_HOLE_S } else { SOUND_HOLE_S };
    let mut missing = Vec::new();
    let mut text = Vec::new();
    if input.video.is_some() {
        let least = (WATCHED_MIN_S * input.fps()) as u64;
        match &got.video {
            None => missing.push("no video".to_owned()),
            Some(video) => {
                let all = sent.video.as_ref().filter(|_| whole).map(|video| video.count);
                let holes = video.missing.saturating_sub(seam_pictures);
                let want = all.unwrap_or(video.count + holes).max(least);
                text.push(format!("{} {}/{want}", video.codec, video.count));
                if video.count < want {
                    missing.push(format!("{} of {want} pictures", want - video.count));
                } else if holes > 0 {
                    missing.push(format!("{holes} pictures in between"));
                }
            }
        }
    }
    if input.audio.is_some() {
        match &got.audio {
            None => missing.push("no audio".to_owned()),
            Some(audio) => {
                let all = sent.audio.as_ref().filter(|_| whole).map(|audio| audio.seconds);
                let want = all.map_or(WATCHED_MIN_S, |seconds| seconds - SOUND_SLACK_S);
                text.push(format!("{} {:.2} s", audio.codec, audio.seconds));
                if audio.seconds < want {
                    missing.push(format!("{:.2} of {want:.2} s of sound", want - audio.seconds));
                } else if audio.missing_s - seam_s > hole_max_s {
                    let hole_s = audio.missing_s - seam_s;
                    missing.push(format!("{hole_s:.3} s of sound in between"));
                }
            }
        }
    }
    if let Some(failure) = got.failure.as_ref().filter(|_| !missing.is_empty()) {
        missing.push(failure.clone());
    }
    let said = input.told.and_then(|word| notes.iter().find(|note| note.contains(word)).cloned());
    Cell { text: text.join(" "), missing, said }
}
