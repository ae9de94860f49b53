//! Mixes a voice over lowered original audio.

use std::collections::VecDeque;
use std::time::Duration;

/// Sample rate of the mix.
pub(super) const MIX_RATE_HZ: u32 = 48_000;

/// Time for the original to fade down or up, in seconds: as slow as a fader moved by hand.
const DUCK_FADE_S: f32 = 0.15;

/// The original stays low through pauses of the voice that are shorter than this.
const DUCK_HOLD: Duration = Duration::from_millis(600);

/// Most clips that wait to be mixed; beyond it the oldest is dropped. The fitter never has more
/// than a few sentences in progress.
const CLIPS_MAX: usize = 64;

/// A voice clip at its place in time.
struct Clip {
    at: Duration,
    /// Mono, 48 kHz, -1 to 1.
    samples: Vec<f32>,
}

impl Clip {
    fn end(&self) -> Duration {
        self.at + length(self.samples.len())
    }
}

fn length(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(MIX_RATE_HZ))
}

/// Mixes clips into interleaved audio at 48 kHz as it passes. Pure: time comes with the audio.
pub(super) struct Mixer {
    clips: VecDeque<Clip>,
    /// Gain of the original under a voice.
    low: f32,
    gain: f32,
}

impl Mixer {
    /// A mixer that lowers the original by `duck_db` dB; 100 or more mutes it.
    pub(super) fn new(duck_db: f32) -> Self {
        let low = if duck_db >= 100.0 { 0.0 } else { 10_f32.powf(-duck_db / 20.0) };
        Self { clips: VecDeque::new(), low, gain: 1.0 }
    }

    /// Adds a clip that begins at running time `at`.
    pub(super) fn add(&mut self, at: Duration, samples: Vec<f32>) {
        if self.clips.len() == CLIPS_MAX {
            self.clips.pop_front();
        }
        self.clips.push_back(Clip { at, samples });
    }

    /// Mixes all clips that are due into a buffer that begins at `at`.
    pub(super) fn mix(&mut self, at: Duration, audio: &mut [f32], channels: usize) {
        let channels = channels.max(1);
        let end = at + length(audio.len() / channels);
        self.clips.retain(|clip| clip.end() + DUCK_HOLD > at);
        let near = |clip: &Clip| clip.at < end + Duration::from_secs_f32(DUCK_FADE_S);
        let target = if self.clips.iter().any(near) { self.low } else { 1.0 };
        self.fade(target, audio, channels);
        for clip in &self.clips {
            add_clip(clip, at, audio, channels);
        }
    }

    fn fade(&mut self, target: f32, audio: &mut [f32], channels: usize) {
        if self.gain == target && target == 1.0 {
            return;
        }
        let step = (1.0 - self.low).max(0.001) / (DUCK_FADE_S * MIX_RATE_HZ as f32);
        for frame in audio.chunks_mut(channels) {
            self.gain = match self.gain < target {
                true => (self.gain + step).min(target),
                false => (self.gain - step).max(target),
            };
            frame.iter_mut().for_each(|sample| *sample *= self.gain);
        }
    }
}

/// Adds the part of a clip that falls into a buffer, clamped to full scale.
fn add_clip(clip: &Clip, at: Duration, audio: &mut [f32], channels: usize) {
    let frames =
        |time: Duration| (time.as_nanos() * u128::from(MIX_RATE_HZ) / 1_000_000_000) as usize;
    let skip = frames(clip.at.saturating_sub(at));
    let from = frames(at.saturating_sub(clip.at));
    let Some(samples) = clip.samples.get(from..) else { return };
    for (frame, voice) in audio.chunks_mut(channels).skip(skip).zip(samples) {
        frame.iter_mut().for_each(|sample| *sample = (*sample + voice).clamp(-1.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER: usize = 480;

    /// Passes constant audio of 0.5 through for `buffers` of 10 ms; returns the highest and lowest
    /// sample of each.
    fn pass(mixer: &mut Mixer, buffers: std::ops::Range<u64>) -> Vec<(f32, f32)> {
        let mut levels = Vec::new();
        for n in buffers {
            let mut audio = [0.5; 2 * BUFFER];
            mixer.mix(Duration::from_millis(n * 10), &mut audio, 2);
            let least = audio.iter().copied().fold(f32::MAX, f32::min);
            levels.push((audio.iter().copied().fold(f32::MIN, f32::max), least));
        }
        levels
    }

    #[test]
    fn the_original_is_untouched_without_a_voice() {
        let mut mixer = Mixer::new(15.0);
        assert!(pass(&mut mixer, 0..100).iter().all(|level| *level == (0.5, 0.5)));
    }

    #[test]
    fn a_voice_is_heard_at_its_time_over_the_lowered_original() {
        let mut mixer = Mixer::new(20.0);
        mixer.add(Duration::from_millis(505), vec![0.25; MIX_RATE_HZ as usize / 10]);
        let levels = pass(&mut mixer, 0..200);
        assert_eq!(levels[30], (0.5, 0.5));
        // -20 dB is a tenth; the voice lasts from 505 to 605 ms.
        let near = |a: f32, b: f32| (a - b).abs() < 0.01;
        assert!(near(levels[50].0, 0.30) && near(levels[50].1, 0.05), "{:?}", levels[50]);
        assert!(near(levels[55].0, 0.30) && near(levels[55].1, 0.30), "{:?}", levels[55]);
        assert!(near(levels[60].0, 0.30) && near(levels[60].1, 0.05), "{:?}", levels[60]);
        assert!(near(levels[70].0, 0.05), "held low through a pause: {:?}", levels[70]);
        assert_eq!(levels[199], (0.5, 0.5));
    }

    #[test]
    fn the_sum_stays_within_full_scale_and_a_gone_original_stays_gone() {
        let mut mixer = Mixer::new(0.0);
        mixer.add(Duration::ZERO, vec![0.9; BUFFER]);
        assert_eq!(pass(&mut mixer, 0..1), [(1.0, 1.0)]);
        let mut alone = Mixer::new(100.0);
        alone.add(Duration::from_millis(300), vec![0.0; BUFFER]);
        assert_eq!(pass(&mut alone, 0..31)[30].0, 0.0);
    }

    #[test]
    fn no_more_is_kept_than_can_be_spoken() {
        let mut mixer = Mixer::new(15.0);
        for n in 0..200 {
            mixer.add(Duration::from_secs(n), vec![0.0; 16]);
        }
        assert_eq!(mixer.clips.len(), CLIPS_MAX);
    }
}
