//! Who speaks, by turns: at a pause another voice may begin, and voices differ in pitch.

use std::collections::VecDeque;
use std::time::Duration;

use super::pitch::{FRAME_SAMPLES, pitch};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Distance between frames whose pitch is found.
const HOP_SAMPLES: usize = SPEECH_RATE_HZ / 50;

/// A stretch of speech ends after this long without a voiced frame. Pauses between words are
/// mostly shorter.
const STRETCH_GAP: Duration = Duration::from_millis(350);

/// Voiced frames that tell a voice: 0.5 s. A shorter stretch belongs to the speaker before it.
const VOICED_FRAMES_MIN: usize = 25;

/// A voice within this ratio of a speaker's pitch may be that speaker's: from sentence to sentence,
/// readers of LibriSpeech stay within 1.4 of their own. Of two that fit, the current speaker stays.
const SAME_RATIO_MAX: f32 = 1.5;

/// Most speakers: the pitches of voices, some two octaves, have no room for more.
const SPEAKERS_MAX: usize = 3;

/// Weight of a new stretch in the pitch of its speaker.
const NEW_RATIO: f32 = 0.2;

/// Stretches that are remembered: words are asked for some seconds after they were heard.
const STRETCHES_MAX_COUNT: usize = 64;

/// Speech between two pauses.
#[derive(Clone, Debug)]
struct Stretch {
    /// Running times of the first and the last voiced frame.
    start: Duration,
    end: Duration,
    /// Pitch of the voiced frames, in Hz.
    pitches: Vec<f32>,
    /// Set when it is asked for and long enough.
    speaker: Option<usize>,
}

/// Tells speakers apart by pause and pitch. It knows no voice: two people of one pitch are one to
/// it, and a person who changes pitch is two. Pure: times come from outside.
#[derive(Debug, Default)]
pub struct Turns {
    /// Samples that are not in a whole frame yet, the first at `at`.
    samples: Vec<f32>,
    at: Duration,
    stretches: VecDeque<Stretch>,
    /// The pitch of each speaker in Hz, in order of appearance.
    speakers: Vec<f32>,
    current: Option<usize>,
}

impl Turns {
    /// Takes speech, 16 kHz mono, whose first sample is at the running time `at`.
    pub fn hear(&mut self, at: Duration, samples: &[f32]) {
        let expected = self.at + length(self.samples.len());
        if at.abs_diff(expected) > STRETCH_GAP / 4 {
            self.samples.clear();
        }
        if self.samples.is_empty() {
            self.at = at;
        }
        self.samples.extend_from_slice(samples);
        let mut used = 0;
        while self.samples.len() - used >= FRAME_SAMPLES {
            if let Some(hz) = pitch(&self.samples[used..used + FRAME_SAMPLES]) {
                self.voiced(self.at + length(used + FRAME_SAMPLES / 2), hz);
            }
            used += HOP_SAMPLES;
        }
        self.samples.drain(..used);
        self.at += length(used);
    }

    fn voiced(&mut self, at: Duration, hz: f32) {
        match self.stretches.back_mut() {
            Some(last) if at.abs_diff(last.end) < STRETCH_GAP => {
                last.end = at;
                last.pitches.push(hz);
            }
            _ => {
                if self.stretches.len() == STRETCHES_MAX_COUNT {
                    self.stretches.pop_front();
                }
                let pitches = vec![hz];
                self.stretches.push_back(Stretch { start: at, end: at, pitches, speaker: None });
            }
        }
    }

    /// The number of the speaker at a running time, from 1 in the order of appearance; `None` until
    /// there was enough voice. Ask in the order of time: speakers are told in the order of asking.
    pub fn speaker(&mut self, at: Duration) -> Option<usize> {
        let nearest = |s: &Stretch| s.start.saturating_sub(at).max(at.saturating_sub(s.end));
        let index = (0..self.stretches.len()).min_by_key(|n| nearest(&self.stretches[*n]))?;
        let stretch = &self.stretches[index];
        if stretch.speaker.is_none() && stretch.pitches.len() >= VOICED_FRAMES_MIN {
            let speaker = self.decide(median(&stretch.pitches));
            self.stretches[index].speaker = Some(speaker);
            self.current = Some(speaker);
        }
        self.stretches[index].speaker.or(self.current).map(|n| n + 1)
    }

    /// Whose voice has this pitch.
    fn decide(&mut self, hz: f32) -> usize {
        let ratio = |n: usize| (self.speakers[n] / hz).max(hz / self.speakers[n]);
        let stays = self.current.filter(|n| ratio(*n) <= SAME_RATIO_MAX);
        let nearest = (0..self.speakers.len()).min_by(|a, b| ratio(*a).total_cmp(&ratio(*b)));
        let former = nearest.filter(|n| ratio(*n) <= SAME_RATIO_MAX);
        let is_full = self.speakers.len() == SPEAKERS_MAX;
        let speaker = match stays.or(former).or(nearest.filter(|_| is_full)) {
            Some(known) => known,
            None => {
                self.speakers.push(hz);
                self.speakers.len() - 1
            }
        };
        self.speakers[speaker] += NEW_RATIO * (hz - self.speakers[speaker]);
        speaker
    }
}

fn length(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / SPEECH_RATE_HZ as u64)
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speech of this pitch, a period of harmonics with a little vibrato.
    fn voice(hz: f32, seconds: f32) -> Vec<f32> {
        let mut phase = 0.0_f32;
        (0..(seconds * SPEECH_RATE_HZ as f32) as usize)
            .map(|n| {
                let t = n as f32 / SPEECH_RATE_HZ as f32;
                let now = hz * (1.0 + 0.08 * (t * 9.0).sin());
                phase = (phase + std::f32::consts::TAU * now / SPEECH_RATE_HZ as f32)
                    .rem_euclid(std::f32::consts::TAU);
                (1..6).map(|k| (phase * k as f32).sin() / k as f32).sum::<f32>() * 0.2
            })
            .collect()
    }

    /// Stretches of voice as `pitch` or `pitch/seconds`, with pauses; the speaker of each.
    fn check(stretches: &str, expect: &str) {
        let mut turns = Turns::default();
        let mut at = Duration::from_secs(5);
        let mut said = Vec::new();
        for stretch in stretches.split(' ') {
            let (hz, seconds) = stretch.split_once('/').unwrap_or((stretch, "1.2"));
            let samples = voice(hz.parse().expect("a pitch"), seconds.parse().expect("seconds"));
            for piece in samples.chunks(512) {
                turns.hear(at, piece);
                at += length(piece.len());
            }
            let middle = at - length(samples.len() / 2);
            said.push(turns.speaker(middle).map_or("-".into(), |n| n.to_string()));
            let pause = vec![0.0; SPEECH_RATE_HZ / 2];
            turns.hear(at, &pause);
            at += length(pause.len());
        }
        assert_eq!(said.join(" "), expect, "{stretches}");
    }

    #[test]
    fn two_voices_by_turns_are_two_speakers() {
        check("110 205 112 200 108 210", "1 2 1 2 1 2");
    }

    #[test]
    fn one_voice_that_rises_and_falls_is_one_speaker() {
        check("110 125 98 118 130 105", "1 1 1 1 1 1");
    }

    #[test]
    fn a_word_alone_belongs_to_the_speaker_before_it() {
        check("200/0.2 110 205/0.2 205 110/0.3", "- 1 1 2 2");
    }

    #[test]
    fn a_voice_between_two_is_not_a_third() {
        check("110 205 150 205 110", "1 2 2 2 1");
    }

    #[test]
    fn there_are_at_most_three() {
        check("75 118 185 290 75", "1 2 3 3 1");
    }

    #[test]
    fn a_jump_in_time_begins_anew_and_a_decision_stays() {
        let mut turns = Turns::default();
        assert_eq!(turns.speaker(Duration::ZERO), None);
        turns.hear(Duration::from_secs(1), &voice(110.0, 1.0));
        turns.hear(Duration::from_secs(9), &voice(210.0, 1.0));
        let mut at = |ms| turns.speaker(Duration::from_millis(ms));
        assert_eq!((at(1500), at(9500), at(1600), at(9900)), (Some(1), Some(2), Some(1), Some(2)));
    }
}
