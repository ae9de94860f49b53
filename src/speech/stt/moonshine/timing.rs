//! Times of words, from the loudness of the audio: Moonshine writes text without times.
//!
//! Audio louder than its pauses is speech. Words share the time of speech by their letters, in order:
//! pauses lie between words, and a longer word takes longer.

use super::decode::Heard;
use super::tokenizer::Tokenizer;
use crate::speech::stt::tokens::{Token, assemble};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Length of a frame whose loudness is measured, in samples: 10 ms.
const FRAME_SAMPLES: usize = SPEECH_RATE_HZ / 100;
const FRAME_MS: usize = 10;

/// Speech is at most this much quieter than the loudest frames, in dB.
const SPEECH_BELOW_LOUDEST_DB: f32 = 30.0;

/// Weight of a word beside its letters: its boundaries take time too.
const WORD_WEIGHT_CHARS: f32 = 1.0;

/// Joins tokens to words with start, end in ms and mean probability.
pub(super) fn words(
    heard: &[Heard],
    tokenizer: &Tokenizer,
    samples: &[f32],
) -> Vec<(String, u32, u32, f32)> {
    let token = |heard: &Heard| Token {
        bytes: tokenizer.bytes(heard.token).to_vec(),
        start: 0,
        end: 0,
        p: heard.probability,
    };
    let tokens: Vec<Token> =
        heard.iter().map(token).filter(|token| !token.bytes.is_empty()).collect();
    let mut words = assemble(&tokens, true);
    let spoken_ms = speech_frames(samples);
    let weights: Vec<f32> = words.iter().map(|(text, ..)| weight(text)).collect();
    let total: f32 = weights.iter().sum();
    let at = |share: f32| -> u32 {
        let frame = ((share * spoken_ms.len() as f32) as usize).min(spoken_ms.len().max(1) - 1);
        spoken_ms.get(frame).copied().unwrap_or(0)
    };
    let mut before = 0.0;
    for (word, weight) in words.iter_mut().zip(weights) {
        word.1 = at(before / total);
        before += weight;
        // The end of a word is in the frame before the next one's.
        word.2 = (at((before / total) - f32::EPSILON) + FRAME_MS as u32).max(word.1);
    }
    words
}

fn weight(text: &str) -> f32 {
    text.chars().filter(|c| c.is_alphanumeric()).count() as f32 + WORD_WEIGHT_CHARS
}

/// Start of each frame of speech, in ms; all frames if all are alike.
fn speech_frames(samples: &[f32]) -> Vec<u32> {
    let power = |frame: &[f32]| frame.iter().map(|s| s * s).sum::<f32>() / frame.len() as f32;
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
    fn noise(level: f32, ms: usize) -> Vec<f32> {
        (0..ms * SPEECH_RATE_HZ / 1000)
            .map(|n| level * ((n * 7919 % 31) as f32 / 15.0 - 1.0))
            .collect()
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
