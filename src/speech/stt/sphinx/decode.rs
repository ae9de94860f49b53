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

/// Files of Debian's `pocketsphinx-en-us`.
const FILES: &[(&str, &str)] =
    &[("-hmm", "en-us"), ("-lm", "en-us.lm.bin"), ("-dict", "cmudict-en-us.dict")];

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
            decoder = Some(Decoder::new(&settings(model, FILES, SETTINGS))?);
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
            decoder.process(piece, false)?;
        }
        if last {
            decoder.end()?;
            open = false;
        }
        Ok(Answer { words: words(&decoder.segments(last)), ..Answer::default() })
    })
}

/// Settings as on the command line, with these files of a model.
pub(super) fn settings(
    model: &Path,
    files: &[(&str, &str)],
    fixed: &[(&str, &str)],
) -> Vec<String> {
    let files = files.iter().map(|(name, file)| (*name, model.join(file).display().to_string()));
    let fixed = fixed.iter().map(|(name, value)| (*name, (*value).to_owned()));
    files.chain(fixed).flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// A word as the dictionary writes it, without silences and noises (`<sil>`, `[NOISE]`, `++UH++`)
/// and without the number of its pronunciation, with its start and end in ms.
pub(super) fn spoken(segments: &[Segment]) -> impl Iterator<Item = (&str, u32, u32, f32)> {
    // Frame numbers continue from utterance to utterance; each utterance begins with `<s>`.
    let zero = segments.first().map_or(0, |s| s.first);
    segments.iter().filter_map(move |s| {
        let text = s.word.split('(').next().unwrap_or_default();
        let (first, end) = (s.first.saturating_sub(zero), s.last.saturating_sub(zero) + 1);
        let is_word = !text.is_empty() && !text.starts_with(['<', '[', '+']);
        is_word.then_some((text, first * FRAME_MS, end * FRAME_MS, s.posterior))
    })
}

/// The words in usual spelling.
fn words(segments: &[Segment]) -> Vec<(String, u32, u32, f32)> {
    let usual = |(text, start, end, posterior): (&str, u32, u32, f32)| {
        let is_me = matches!(text, "i" | "i'm" | "i'll" | "i've" | "i'd");
        let text = if is_me { text.replacen('i', "I", 1) } else { text.to_owned() };
        (text, start, end, posterior)
    };
    spoken(segments).map(usual).collect()
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
