//! The child: one decoder for one stream.

use std::path::Path;

use super::sys::{Decoder, Segment};
use crate::speech::engine;
use crate::speech::stt::wire::{Answer, Question, unpack};

/// Duration of a frame, in ms.
const FRAME_MS: u32 = 10;

/// The decoder gets pieces of 0.1 s, in samples: its normalisation adapts with each.
const PIECE_SAMPLES: usize = 1600;

/// Chosen by measurement: see "Captions" in `docs/measurements.md`.
const SETTINGS: &[(&str, &str)] = &[
    // Our gate already removes silence; removing it here would shift the word times.
    ("-remove_silence", "no"),
    ("-logfn", "/dev/null"),
];

/// Serves requests until the parent is gone. `model` is a folder laid out like Debian's
/// `pocketsphinx-en-us`.
///
/// # Errors
/// If the pipes break.
pub fn serve(model: &Path) -> std::io::Result<()> {
    let mut decoder = None;
    let mut open = false;
    engine::serve(|question, body| {
        if decoder.is_none() {
            decoder = Some(Decoder::new(&settings(model))?);
        }
        let Some(decoder) = &mut decoder else { return Err("no decoder".to_owned()) };
        let Question::Hear { begin, last, .. } = question else { return Ok(Answer::default()) };
        if begin && open {
            decoder.end()?;
            open = false;
        }
        if !open {
            decoder.start()?;
            open = true;
        }
        for piece in unpack(body).chunks(PIECE_SAMPLES) {
            decoder.process(piece)?;
        }
        if last {
            decoder.end()?;
            open = false;
        }
        Ok(Answer { words: words(&decoder.segments(last)), language: None })
    })
}

fn settings(model: &Path) -> Vec<String> {
    let at = |name: &str| model.join(name).display().to_string();
    let files =
        [("-hmm", at("en-us")), ("-lm", at("en-us.lm.bin")), ("-dict", at("cmudict-en-us.dict"))];
    let fixed = SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned()));
    files.into_iter().chain(fixed).flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// Words without silences and noises (`<sil>`, `[NOISE]`, `++UH++`) and without the number of their
/// pronunciation, in usual spelling.
fn words(segments: &[Segment]) -> Vec<(String, u32, u32, f32)> {
    // Frame numbers continue from utterance to utterance; each utterance begins with `<s>`.
    let zero = segments.first().map_or(0, |s| s.first);
    let word = |s: &Segment| {
        let text = s.word.split('(').next().unwrap_or_default();
        if text.is_empty() || text.starts_with(['<', '[', '+']) {
            return None;
        }
        let is_me = matches!(text, "i" | "i'm" | "i'll" | "i've" | "i'd");
        let text = if is_me { text.replacen('i', "I", 1) } else { text.to_owned() };
        let (first, end) = (s.first.saturating_sub(zero), s.last.saturating_sub(zero) + 1);
        Some((text, first * FRAME_MS, end * FRAME_MS, s.posterior))
    };
    segments.iter().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_and_variants_are_left_out() {
        let segment = |word: &str| Segment { word: word.into(), first: 1, last: 9, posterior: 0.5 };
        let heard = ["<s>", "the(2)", "i'm", "<sil>", "[NOISE]", "++UH++", "cat", "</s>"];
        let found = words(&heard.map(segment));
        let texts: Vec<_> = found.iter().map(|w| w.0.as_str()).collect();
        assert_eq!(texts, ["the", "I'm", "cat"]);
        assert_eq!((found[0].1, found[0].2), (0, 90));
    }
}
