//! Whether audio is speech, which AIC-A can carry, or something else, which Opus carries better.
//!
//! Combines two signs: the probability from a voice detector, and level dips between syllables. The
//! detector alone takes most music for speech; audio without dips for two seconds is no speech.
//! Barking, crying and ticking pass for speech.
//!
//! Invariant: pure except for the detector's state; no clock.

use std::collections::VecDeque;

use super::FRAME_SAMPLES;
use crate::speech::vad::{Detector, Earshot};

/// The current content of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Speech.
    #[default]
    Speech,
    /// Music or noise that is loud enough to matter.
    Other,
}

/// Quieter frames are silence, in dBFS: they are not active and do not affect the class.
const QUIET_LEVEL_DBFS: f32 = -55.0;
/// Weight of each loud frame: an average over about 0.6 s. A slower average switches the codec
/// late, a faster one within words.
const VOICE_SMOOTHING_FACTOR: f32 = 1.0 / 30.0;
/// Average voice probability above which the content becomes speech. The gap to
/// [`SPEECH_END_PROBABILITY`] keeps the class from flapping.
const SPEECH_PROBABILITY_MIN: f32 = 0.6;
/// Average voice probability below which the content is no longer speech.
const SPEECH_END_PROBABILITY: f32 = 0.25;
/// Frames in which dips are counted: 2 s.
const DIP_WINDOW_FRAMES: usize = 100;
/// A frame with less than this share of the average power is a dip.
const DIP_POWER_RATIO: f32 = 0.25;
/// Lowest share of dips in speech (0.42 on average; music has 0.0 to 0.1).
const SPEECH_DIPS_RATIO_MIN: f32 = 0.15;
/// A frame of at least this probability contains a voice: the detector finds it likelier than not.
const VOICE_PROBABILITY_MIN: f32 = 0.5;
/// Level above the background that counts as activity, in dB. Less sends noise, more cuts soft
/// voices.
const ACTIVITY_ABOVE_FLOOR_DB: f32 = 15.0;
/// Rise of the background estimate per frame: 3 dB per second. A faster rise takes long vowels for
/// background, a slower one sends new noise for longer.
const FLOOR_RISE_DB: f32 = 0.06;
/// Frames after the last active one that still count as active: 300 ms, so that the ends of words
/// are sent.
const HANGOVER_FRAMES: u32 = 15;

/// Classifies one stream.
pub struct Content {
    detector: Earshot,
    pending: Vec<f32>,
    probability: f32,
    average: f32,
    class: Class,
    level: f32,
    floor: f32,
    quiet_for: u32,
    /// Power of each frame of the last two seconds.
    powers: VecDeque<f32>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            detector: Earshot::default(),
            pending: Vec::with_capacity(2 * FRAME_SAMPLES),
            probability: 0.0,
            average: 0.5,
            class: Class::default(),
            level: -100.0,
            floor: -60.0,
            quiet_for: 0,
            powers: VecDeque::with_capacity(DIP_WINDOW_FRAMES),
        }
    }
}

impl Content {
    /// Takes 20 ms (16 kHz mono); returns the current class, with hysteresis.
    pub fn frame(&mut self, frame: &[f32; FRAME_SAMPLES]) -> Class {
        self.level = level(frame);
        self.pending.extend_from_slice(frame);
        let size = self.detector.frame();
        while self.pending.len() >= size {
            self.probability = self.detector.probability(&self.pending[..size]);
            self.pending.drain(..size);
        }
        if self.powers.len() == DIP_WINDOW_FRAMES {
            self.powers.pop_front();
        }
        self.powers.push_back(10.0_f32.powf(self.level / 10.0));
        self.floor = self.level.min(self.floor + FLOOR_RISE_DB).max(-90.0);
        let active = self.level > QUIET_LEVEL_DBFS
            && (self.probability >= VOICE_PROBABILITY_MIN
                || self.level > self.floor + ACTIVITY_ABOVE_FLOOR_DB);
        self.quiet_for = if active { 0 } else { self.quiet_for.saturating_add(1) };
        if self.level > QUIET_LEVEL_DBFS {
            // A level without dips for two seconds is no speech, whatever the detector reports.
            let full = self.powers.len() == DIP_WINDOW_FRAMES;
            let syllables = if full { (self.dips() / SPEECH_DIPS_RATIO_MIN).min(1.0) } else { 1.0 };
            self.average += VOICE_SMOOTHING_FACTOR * (self.probability * syllables - self.average);
        }
        self.class = match self.class {
            Class::Speech if self.average < SPEECH_END_PROBABILITY => Class::Other,
            Class::Other if self.average > SPEECH_PROBABILITY_MIN => Class::Speech,
            same => same,
        };
        self.class
    }

    /// Whether there is more than background; if not, discontinuous transmission stops sending.
    pub fn is_active(&self) -> bool {
        self.quiet_for < HANGOVER_FRAMES
    }

    /// Loudness of the last frame, root mean square in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        self.level
    }

    /// Share of the last two seconds' frames that are far below the mean power. Syllables and
    /// pauses cause many, music and most noise few.
    fn dips(&self) -> f32 {
        let count = self.powers.len().max(1) as f32;
        let mean = self.powers.iter().sum::<f32>() / count;
        self.powers.iter().filter(|p| **p < DIP_POWER_RATIO * mean).count() as f32 / count
    }
}

fn level(frame: &[f32]) -> f32 {
    let power = frame.iter().map(|x| x * x).sum::<f32>() / frame.len().max(1) as f32;
    10.0 * (power + 1e-10).log10()
}

#[cfg(test)]
mod tests;
