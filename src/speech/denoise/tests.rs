//! Tests of the denoiser.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

pub(super) const FULL: Strength = Strength { enabled: true, mix: 1.0, max_attenuation_db: 100.0 };
pub(super) const OFF: Strength = Strength { enabled: false, ..FULL };

/// A hoarse vowel with a gliding pitch, formants and syllables: close enough to a voice for the
/// network.
pub(super) fn voice(samples: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..samples)
        .map(|n| {
            let t = n as f32 / RATE_HZ as f32;
            let pitch = 130.0 + 25.0 * (2.0 * t).sin();
            phase += pitch / RATE_HZ as f32;
            let syllable = (3.0 * std::f32::consts::PI * t).sin().abs();
            let vowel: f32 = (1..25)
                .map(|h| {
                    let f = h as f32 * pitch;
                    let formants = [(600.0, 1.0), (1100.0, 0.6), (2500.0, 0.3)];
                    let gain: f32 = formants
                        .iter()
                        .map(|(at, g)| g / (1.0 + ((f - at) / 150.0_f32).powi(2)))
                        .sum();
                    gain * (std::f32::consts::TAU * phase * h as f32).sin()
                })
                .sum();
            0.1 * syllable * vowel
        })
        .collect()
}

/// Reproducible white noise in -level..level.
pub(super) fn noise(samples: usize, level: f32) -> Vec<f32> {
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..samples).map(|_| level * next()).collect()
}

/// The same, falling towards high frequencies like the noise of fans and roads.
fn rumble(samples: usize, level: f32) -> Vec<f32> {
    let mut last = 0.0;
    let smooth = |x: f32| {
        last = 0.9 * last + 0.1 * x;
        last
    };
    noise(samples, level).into_iter().map(smooth).collect()
}

fn clean(samples: &[f32], channels: usize, strength: Strength) -> Vec<f32> {
    let mut denoiser = Denoiser::new(channels, strength);
    let mut output = Vec::new();
    denoiser.push(samples, &mut output);
    denoiser.drain(&mut output);
    output
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|x| x * x).sum::<f32>() / samples.len().max(1) as f32
}

/// The shift of `b` against `a`, in samples, at which they match best.
pub(super) fn best_lag(a: &[f32], b: &[f32], reach: isize) -> isize {
    let correlation = |lag: isize| -> f32 {
        let reach = reach.unsigned_abs();
        let at = |n: usize| n.checked_add_signed(lag).and_then(|m| b.get(m)).unwrap_or(&0.0);
        (reach..a.len() - reach).map(|n| a[n] * at(n)).sum()
    };
    (-reach..=reach).max_by(|x, y| correlation(*x).total_cmp(&correlation(*y))).unwrap_or(0)
}

#[test]
fn cleaned_and_original_lie_on_the_same_samples() {
    let input = voice(RATE_HZ as usize);
    assert_eq!(best_lag(&input, &clean(&input, 1, OFF), 700), 0);
    assert_eq!(best_lag(&input, &clean(&input, 1, FULL), 700), 0);
}

#[test]
fn off_is_exact_and_every_sample_comes_out_once() {
    for length in [1, 479, 480, 481, 960, 10_000] {
        let input = noise(length, 0.5);
        assert_eq!(clean(&input, 1, OFF), input, "{length} samples");
        assert_eq!(clean(&input, 1, FULL).len(), length);
    }
}

#[test]
fn what_is_held_never_exceeds_the_stated_latency() {
    let mut denoiser = Denoiser::new(1, FULL);
    assert_eq!(denoiser.latency(), Duration::from_millis(20));
    let (mut taken, mut output) = (0, Vec::new());
    for size in [1, 479, 480, 7, 960, 3000] {
        denoiser.push(&vec![0.1; size], &mut output);
        taken += size;
        assert_eq!(taken - output.len(), denoiser.held());
        assert!(
            denoiser.held() < denoiser.latency().as_millis() as usize * RATE_HZ as usize / 1000
        );
    }
}

#[test]
fn noise_is_lowered_by_the_limit_and_no_more() {
    let input = rumble(3 * RATE_HZ as usize, 0.2);
    let level = |strength| {
        let output = clean(&input, 1, strength);
        let tail = RATE_HZ as usize;
        10.0 * (power(&output[tail..]) / power(&input[tail..])).log10()
    };
    assert!(level(FULL) < -30.0, "unlimited: {} dB", level(FULL));
    let limited = level(Strength { max_attenuation_db: 12.0, ..FULL });
    assert!((-12.5..-11.5).contains(&limited), "limited to 12 dB: {limited} dB");
    let half = level(Strength { mix: 0.5, ..FULL });
    assert!((-6.5..-5.5).contains(&half), "half mixed: {half} dB");
}

#[test]
fn speech_and_noise_are_told_apart() {
    let check = |input: &[f32]| {
        let mut denoiser = Denoiser::new(1, FULL);
        let mut sum = 0.0;
        for frame in input.chunks(FRAME_SAMPLES) {
            denoiser.push(frame, &mut Vec::new());
            sum += denoiser.speech_probability();
        }
        (sum * FRAME_SAMPLES as f32 / input.len() as f32, denoiser.noise_dbfs())
    };
    let (in_voice, _) = check(&voice(2 * RATE_HZ as usize));
    let (in_noise, level) = check(&noise(2 * RATE_HZ as usize, 0.01));
    assert!(in_voice > 0.6, "speech probability of a voice: {in_voice}");
    assert!(in_noise < 0.3, "speech probability of noise: {in_noise}");
    // Uniform noise of amplitude a has the power a²/3.
    let expected = 10.0 * (0.01_f32.powi(2) / 3.0).log10();
    assert!((level.expect("heard") - expected).abs() < 0.5, "{level:?} against {expected}");
}

#[test]
fn switching_does_not_click() {
    let input: Vec<f32> = (0..RATE_HZ)
        .map(|n| 0.25 * (std::f32::consts::TAU * 220.0 * n as f32 / RATE_HZ as f32).sin())
        .collect();
    let step =
        |samples: &[f32]| samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0_f32, f32::max);
    let mut denoiser = Denoiser::new(1, OFF);
    let mut output = Vec::new();
    for (index, part) in input.chunks(4_800).enumerate() {
        denoiser.set_strength(if index % 2 == 0 { OFF } else { FULL });
        denoiser.push(part, &mut output);
    }
    // A hard switch of this tone would step by up to its amplitude, 0.25. The crossfade adds at
    // most SLEW times the difference of the two, which is under twice the amplitude.
    assert!(step(&output) < step(&input) * 1.5, "{} against {}", step(&output), step(&input));
}

#[test]
fn silence_stays_silence() {
    assert!(clean(&[0.0; 9_600], 2, FULL).iter().all(|x| *x == 0.0));
}

#[test]
fn channels_do_not_mix() {
    let voice = voice(RATE_HZ as usize);
    let stereo: Vec<f32> = voice.iter().flat_map(|x| [*x, 0.0]).collect();
    let output = clean(&stereo, 2, FULL);
    assert!(output.chunks(2).all(|pair| pair[1] == 0.0));
    let left: Vec<f32> = output.chunks(2).map(|pair| pair[0]).collect();
    assert_eq!(left, clean(&voice, 1, FULL));
}

#[test]
fn hears_again_after_absurd_samples() {
    let mut denoiser = Denoiser::new(1, FULL);
    denoiser.push(&[f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX].repeat(1_000), &mut Vec::new());
    let mut output = Vec::new();
    let input = voice(2 * RATE_HZ as usize);
    denoiser.push(&input, &mut output);
    let ratio = power(&output[RATE_HZ as usize..]) / power(&input[RATE_HZ as usize..]);
    assert!(ratio > 0.3, "a voice comes through again: {ratio}");
}

fn any_sample() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -1.0_f32..1.0, 1 => any::<f32>(), 1 => Just(f32::NAN), 1 => Just(1e-42)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn piece_sizes_do_not_matter(
        sizes in proptest::collection::vec(1_usize..1_500, 1..12),
        channels in 1_usize..3,
    ) {
        let total: usize = sizes.iter().sum::<usize>() * channels;
        let input: Vec<f32> = voice(total).iter().zip(noise(total, 0.02)).map(|(v, n)| v + n).collect();
        let mut denoiser = Denoiser::new(channels, FULL);
        let (mut rest, mut output) = (&input[..], Vec::new());
        for size in sizes {
            let (part, tail) = rest.split_at(size * channels);
            denoiser.push(part, &mut output);
            rest = tail;
        }
        denoiser.drain(&mut output);
        prop_assert_eq!(output, clean(&input, channels, FULL));
    }

    #[test]
    fn anything_in_is_finite_out(
        samples in proptest::collection::vec(any_sample(), 1..4_000),
        mix in -1.0_f32..2.0,
        max_attenuation_db in any::<f32>(),
    ) {
        let output = clean(&samples, 1, Strength { enabled: true, mix, max_attenuation_db });
        prop_assert_eq!(output.len(), samples.len());
        prop_assert!(output.iter().all(|x| x.is_finite()));
    }
}
