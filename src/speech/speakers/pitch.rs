//! The pitch of a voice, frame by frame: YIN (de Cheveigné and Kawahara 2002).

use crate::speech::vad::SPEECH_RATE_HZ;

/// Samples of which the pitch is found: 50 ms, the longest lag and two periods of the deepest voice.
pub(super) const FRAME_SAMPLES: usize = SPEECH_RATE_HZ / 20;

/// Samples that are joined into one: what is above 2 kHz only disturbs, and costs sixteen times as
/// much.
const JOINED_SAMPLES: usize = 4;

/// Samples per second that are left.
const LOW_RATE_HZ: usize = SPEECH_RATE_HZ / JOINED_SAMPLES;

/// Lags of the highest and the deepest voice, 400 Hz and 66 Hz.
const LAGS_SAMPLES: std::ops::Range<usize> = LOW_RATE_HZ / 400..LOW_RATE_HZ / 66;

/// Samples that are compared with later ones.
const COMPARED_SAMPLES: usize = FRAME_SAMPLES / JOINED_SAMPLES - LAGS_SAMPLES.end;

/// A frame whose least normalised difference is above this is not voiced. YIN proposes 0.1; 0.25
/// keeps more frames of hoarse and of coded voices.
const DIFFERENCE_RATIO_MAX: f32 = 0.4;

/// The pitch of a frame of [`FRAME_SAMPLES`], in Hz; `None` if it is not voiced.
pub(super) fn pitch(frame: &[f32]) -> Option<f32> {
    let low: Vec<f32> =
        frame.as_chunks::<JOINED_SAMPLES>().0.iter().map(|s| s.iter().sum()).collect();
    let difference = |lag: usize| -> f32 {
        let pairs = low[..COMPARED_SAMPLES].iter().zip(&low[lag..lag + COMPARED_SAMPLES]);
        pairs.map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let mut sum = 0.0;
    let mut normal = [1.0_f32; LAGS_SAMPLES.end];
    for (lag, value) in normal.iter_mut().enumerate().skip(1) {
        let now = difference(lag);
        sum += now;
        // Silence differs from nothing.
        *value = if sum > f32::EPSILON { now * lag as f32 / sum } else { 1.0 };
    }
    let first = LAGS_SAMPLES.into_iter().find(|lag| normal[*lag] < DIFFERENCE_RATIO_MAX)?;
    // Down to the valley that begins there.
    let valley = (first..LAGS_SAMPLES.end - 1).find(|lag| normal[lag + 1] >= normal[*lag])?;
    Some(LOW_RATE_HZ as f32 / (valley as f32 + vertex(&normal[valley - 1..=valley + 1])))
}

/// Offset of the lowest point of a parabola through three values, from the middle one.
fn vertex(values: &[f32]) -> f32 {
    let (before, at, after) = (values[0], values[1], values[2]);
    let curve = before - 2.0 * at + after;
    if curve <= f32::EPSILON { 0.0 } else { (0.5 * (before - after) / curve).clamp(-0.5, 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice: the overtones of a pitch, each weaker, with noise 26 dB below.
    fn voice(hz: f32) -> Vec<f32> {
        let sample = |n: usize| {
            let phase = std::f32::consts::TAU * hz * n as f32 / SPEECH_RATE_HZ as f32;
            let tones = (1..8).map(|k| (phase * k as f32 + k as f32).sin() / k as f32);
            let noise =
                ((n as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            0.2 * tones.sum::<f32>() + 0.02 * noise
        };
        (0..FRAME_SAMPLES).map(sample).collect()
    }

    #[test]
    fn the_pitch_of_deep_and_high_voices_is_found_within_two_percent() {
        for hz in [75.0, 98.0, 120.5, 180.0, 233.0, 310.0, 390.0] {
            let found = pitch(&voice(hz)).expect("it is voiced");
            assert!((found / hz - 1.0).abs() < 0.02, "{found} for {hz}");
        }
    }

    #[test]
    fn silence_and_noise_have_no_pitch() {
        assert_eq!(pitch(&[0.0; FRAME_SAMPLES]), None);
        let mut state = 1_u32;
        let noise: Vec<f32> = (0..FRAME_SAMPLES)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        assert_eq!(pitch(&noise), None);
    }
}
