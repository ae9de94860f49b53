//! Times of words: Moonshine writes text without them.
//!
//! They come by forced alignment where PocketSphinx is installed. Without it, audio louder than its
//! pauses is speech, and words share the time of speech by their letters, in order: pauses lie
//! between words, and a longer word takes longer.

use crate::speech::stt::sphinx::Aligner;
use crate::speech::stt::tokens::AssembledWord;
use crate::speech::vad::SPEECH_RATE_HZ;

/// Length of a frame whose loudness is measured, in samples: 10 ms.
const FRAME_SAMPLES: usize = SPEECH_RATE_HZ / 100;
const FRAME_MS: usize = 10;

/// Speech is at most this much quieter than the loudest frames, in dB.
const SPEECH_BELOW_LOUDEST_DB: f32 = 30.0;

/// Weight of a word beside its letters: its boundaries take time too.
const WORD_WEIGHT_CHARS: f32 = 1.0;

/// A word with start and end in ms.
pub(super) type SettledWord = (String, u32, u32);

/// Sets start and end of each word, in ms. Words that begin as `settled` keep those times.
pub(super) fn place(
    words: &mut [AssembledWord],
    samples: &[i16],
    settled: &[SettledWord],
    aligner: Option<&mut Aligner>,
) {
    let known = words.iter().zip(settled).take_while(|(word, known)| word.0 == known.0).count();
    for (word, (_, start, end)) in words.iter_mut().zip(&settled[..known]) {
        (word.1, word.2) = (*start, *end);
    }
    let from_ms = settled[..known].last().map_or(0, |(.., end)| *end);
    let from = (from_ms as usize * SPEECH_RATE_HZ / 1000).min(samples.len());
    let rest = &mut words[known..];
    let texts: Vec<&str> = rest.iter().map(|(text, ..)| text.as_str()).collect();
    let aligned = aligner.and_then(|aligner| aligner.align(&texts, &samples[from..]));
    let times = aligned.unwrap_or_else(|| guess(&texts, &samples[from..]));
    for (word, (start, end)) in rest.iter_mut().zip(times) {
        (word.1, word.2) = (from_ms + start, from_ms + end);
    }
}

/// Start and end of each word in ms, by its letters.
fn guess(words: &[&str], samples: &[i16]) -> Vec<(u32, u32)> {
    let spoken_ms = speech_frames(samples);
    let weights: Vec<f32> = words.iter().map(|text| weight(text)).collect();
    let total: f32 = weights.iter().sum();
    let at = |share: f32| -> u32 {
        let frame = ((share * spoken_ms.len() as f32) as usize).min(spoken_ms.len().max(1) - 1);
        spoken_ms.get(frame).copied().unwrap_or(0)
    };
    let mut before = 0.0;
    let place = |weight: f32| {
        let start = at(before / total);
        before += weight;
        // The end of a word is in the frame before the next one's.
        (start, (at((before / total) - f32::EPSILON) + FRAME_MS as u32).max(start))
    };
    weights.into_iter().map(place).collect()
}

fn weight(text: &str) -> f32 {
    text.chars().filter(|c| c.is_alphanumeric()).count() as f32 + WORD_WEIGHT_CHARS
}

/// Start of each frame of speech, in ms; all frames if all are alike.
fn speech_frames(samples: &[i16]) -> Vec<u32> {
    let power = |frame: &[i16]| {
        frame.iter().map(|s| (f32::from(*s) / 32_768.0).powi(2)).sum::<f32>() / frame.len() as f32
    };
    let levels_db: Vec<f32> =
        samples.chunks(FRAME_SAMPLES).map(|f| 10.0 * power(f).max(1e-12).log10()).collect();
    let mut sorted = levels_db.clone();
    sorted.sort_by(f32::total_cmp);
    // The loudest twentieth are vowels; clicks are rarer.
    let loud_db = sorted.get(sorted.len() * 19 / 20).copied().unwrap_or_default();
    let quiet_db = sorted.get(sorted.len() / 20).copied().unwrap_or_default();
    let limit_db = (loud_db - SPEECH_BELOW_LOUDEST_DB).max((loud_db + 3.0 * quiet_db) / 4.0);
    let loud = levels_db.iter().enumerate().filter(|(_, level)| **level >= limit_db);
    loud.map(|(frame, _)| (frame * FRAME_MS) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise of this loudness, so many milliseconds of it.
    fn noise(level: f32, ms: usize) -> Vec<i16> {
        let sample = |n| level * ((n * 7919 % 31) as f32 / 15.0 - 1.0) * 32_767.0;
        (0..ms * SPEECH_RATE_HZ / 1000).map(|n| sample(n) as i16).collect()
    }

    #[test]
    fn frames_of_speech_leave_out_pauses() {
        let samples = [noise(0.001, 500), noise(0.3, 300), noise(0.001, 400), noise(0.2, 200)];
        let frames = speech_frames(&samples.concat());
        assert_eq!(frames.len(), 50);
        assert_eq!((frames[0], frames[29], frames[30]), (500, 790, 1200));
    }

    #[test]
    fn silence_and_nothing_are_no_error() {
        assert!(speech_frames(&[]).is_empty());
        assert_eq!(speech_frames(&noise(0.0, 100)).len(), 10);
    }
}
