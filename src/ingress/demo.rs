//! The demo source: the test pattern, and a synthesised voice in machine-room noise, so that the
//! effect of noise suppression can be heard.

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::source::{PulledSource, SourceContext};
use super::test;
use crate::flow::Error;
use crate::media::Protocol;

/// The text that the voice repeats.
const WORDS: &str = "Good evening, and welcome to this live demonstration. The weather will be \
    warm tomorrow, with some rain in the evening. You hear a man who speaks in a noisy room. The \
    captions are written and translated while he speaks.";

/// Silence between two repetitions, in samples at 48 kHz.
const PAUSE_SAMPLES: usize = 48_000;

/// Maximum length of the voice: a minute at 48 kHz.
const SAMPLES_MAX: usize = 60 * 48_000;

/// A test pattern and a voice in noise. Without `flite` and `espeak-ng` the pattern beeps instead, and the
/// report notes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoSource {}

impl PulledSource for DemoSource {
    const PROTOCOL: Protocol = Protocol::Demo;

    fn shown(&self) -> String {
        "test pattern and a voice in noise".into()
    }

    async fn run(self, context: SourceContext) -> Result<(), Error> {
        let intake = context.intake;
        match speak().await {
            Some(voice) => {
                let audio = move |samples: &mut [u8], at: gst::ClockTime| {
                    mix(&voice, samples, at);
                };
                test::run_with(intake, Box::new(audio)).await
            }
            None => {
                intake.tracks.report.note("no voice: `apt-get install flite` brings it");
                test::run_with(intake, Box::new(test::beep)).await
            }
        }
    }
}

/// The spoken text as samples at 48 kHz: by `flite`, which is easier to understand, else by
/// `espeak-ng`.
async fn speak() -> Option<Vec<i16>> {
    let wav = match by_flite().await {
        Some(wav) => wav,
        None => output("espeak-ng", &["--stdout", "-v", "en", "-s", "145", WORDS]).await?,
    };
    let (rate, samples) = read_wav(&wav)?;
    Some(resample(&samples, rate))
}

/// `flite` writes the length into its file at the end, so it cannot write to a pipe.
async fn by_flite() -> Option<Vec<u8>> {
    let made = tokio::task::spawn_blocking(tempfile::NamedTempFile::new).await;
    let file = made.ok()?.ok()?;
    output("flite", &["-voice", "rms", "-t", WORDS, "-o", file.path().to_str()?]).await?;
    tokio::fs::read(file.path()).await.ok()
}

/// What a program writes; `None` if it is missing or fails.
async fn output(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let ran = Command::new(program).args(arguments).kill_on_drop(true).output().await.ok()?;
    ran.status.success().then_some(ran.stdout)
}

/// Rate and samples of a 16-bit mono WAV; both programs write a plain 44-byte header.
fn read_wav(bytes: &[u8]) -> Option<(u32, Vec<i16>)> {
    let (header, data) = bytes.split_at_checked(44)?;
    let is_wav = header.starts_with(b"RIFF") && &header[8..12] == b"WAVE";
    let rate = u32::from_le_bytes(header[24..28].try_into().ok()?);
    let plain = header[20..24] == [1, 0, 1, 0] && (8_000..=48_000).contains(&rate);
    let samples = data.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]));
    (is_wav && plain).then(|| (rate, samples.take(SAMPLES_MAX).collect()))
}

/// Resamples to 48 kHz by linear interpolation, which suffices for a synthesised voice.
fn resample(samples: &[i16], rate: u32) -> Vec<i16> {
    let step = f64::from(rate) / 48_000.0;
    let length = (samples.len() as f64 / step) as usize;
    let at = |index: usize| f64::from(samples.get(index).copied().unwrap_or(0));
    let sample = |n: usize| {
        let position = n as f64 * step;
        let (index, part) = (position as usize, position.fract());
        (at(index) * (1.0 - part) + at(index + 1) * part) as i16
    };
    (0..length.min(SAMPLES_MAX)).map(sample).collect()
}

/// The voice plus noise about 20 dB below it; both depend only on time.
fn mix(voice: &[i16], samples: &mut [u8], at: gst::ClockTime) {
    let first = at.nseconds() / 1000 * 48 / 1000;
    for (index, frame) in samples.chunks_exact_mut(4).enumerate() {
        let n = first + index as u64;
        let in_round = n as usize % (voice.len() + PAUSE_SAMPLES);
        let voice = voice.get(in_round).copied().unwrap_or(0) / 2;
        test::write_frame(frame, voice.saturating_add(noise(n)));
    }
}

/// Fan noise: averaged neighbouring random values, which removes high frequencies, plus a hum.
fn noise(n: u64) -> i16 {
    let random = |n: u64| {
        // SplitMix64 (Steele, Lea and Flood 2014): computes the n-th value directly.
        let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 48) as f64 / 65_536.0 - 0.5
    };
    let rush: f64 = (0..4).map(|k| random(n + k)).sum::<f64>() / 4.0;
    let hum = (n as f64 / 48_000.0 * 100.0 * std::f64::consts::TAU).sin();
    (rush * 2000.0 + hum * 130.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_wav_is_read() {
        let mut wav = b"RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend(22_050u32.to_le_bytes());
        wav.resize(44, 0);
        wav.extend([1, 0, 2, 0, 3]);
        assert_eq!(read_wav(&wav), Some((22_050, vec![1, 2])));
        assert_eq!(read_wav(&wav[..40]), None);
        assert_eq!(read_wav(b"not a wav file at all, but longer than its header"), None);
    }

    #[test]
    fn a_second_stays_a_second() {
        assert_eq!(resample(&[7; 24_000], 24_000).len(), 48_000);
    }

    #[test]
    fn the_noise_is_about_twenty_decibels_below_a_voice() {
        let power = (0..48_000).map(|n| f64::from(noise(n)).powi(2)).sum::<f64>() / 48_000.0;
        assert!((200.0..500.0).contains(&power.sqrt()), "{}", power.sqrt());
    }
}
