//! Audio from engines: WAV, whose header may state a wrong length, and raw samples.

use super::Pcm;

/// Sample rates that an engine may use.
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=96_000;

/// Raw 16-bit little-endian mono samples; an odd byte at the end is dropped.
pub(super) fn raw(bytes: &[u8], rate_hz: u32) -> Pcm {
    let sample = |pair: &[u8; 2]| f32::from(i16::from_le_bytes(*pair)) / 32_768.0;
    Pcm { rate_hz, samples: bytes.as_chunks::<2>().0.iter().map(sample).collect() }
}

/// A WAV file of 16-bit or float samples, mixed down to mono. Programs that write to a pipe do not
/// know the length when they write the header, so a stated length beyond the end is ignored.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(bytes: &[u8]) -> Result<Pcm, String> {
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err("it is no WAV file".into());
    }
    let mut format = None;
    let mut at = 12;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = &bytes[at + 8..];
        let body = &body[..length.min(body.len())];
        match &head[..4] {
            b"fmt " => format = Some(Format::read(body)?),
            b"data" => {
                return format.ok_or("its format is missing")?.samples(body);
            }
            _ => {}
        }
        // Chunks are padded to even lengths.
        at = at.saturating_add(8).saturating_add(length).saturating_add(length % 2);
    }
    Err("it has no samples".into())
}

struct Format {
    float: bool,
    channels: usize,
    rate_hz: u32,
}

impl Format {
    fn read(chunk: &[u8]) -> Result<Self, String> {
        let short = |at: usize| chunk.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let (Some(mut tag), Some(channels), Some(bits)) = (short(0), short(2), short(14)) else {
            return Err("its format is cut off".into());
        };
        // WAVE_FORMAT_EXTENSIBLE has the real tag in its GUID.
        if tag == 0xFFFE {
            tag = short(24).unwrap_or(0);
        }
        let rate_hz = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        let float = match (tag, bits) {
            (1, 16) => false,
            (3, 32) => true,
            _ => return Err(format!("samples of {bits} bits in format {tag} are not understood")),
        };
        if !(1..=8).contains(&channels) || !RATES_HZ.contains(&rate_hz) {
            return Err(format!("{channels} channels at {rate_hz} Hz are no speech"));
        }
        Ok(Self { float, channels: channels.into(), rate_hz })
    }

    fn samples(&self, data: &[u8]) -> Result<Pcm, String> {
        let all: Vec<f32> = if self.float {
            data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        } else {
            raw(data, self.rate_hz).samples
        };
        if all.iter().any(|s| !s.is_finite()) {
            return Err("it has samples that are no numbers".into());
        }
        let mono = |frame: &[f32]| frame.iter().sum::<f32>() / self.channels as f32;
        let samples = all.chunks_exact(self.channels).map(mono).collect();
        Ok(Pcm { rate_hz: self.rate_hz, samples })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A WAV file with a data length chosen by the caller.
    pub(in super::super) fn write(channels: u16, samples: &[i16], length: u32) -> Vec<u8> {
        let rate = 24_000_u32;
        let mut out = b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec();
        out.extend(16_u32.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(channels.to_le_bytes());
        out.extend(rate.to_le_bytes());
        out.extend((rate * 2 * u32::from(channels)).to_le_bytes());
        out.extend((2 * channels).to_le_bytes());
        out.extend(16_u16.to_le_bytes());
        out.extend(b"LIST\x03\0\0\0abc\0data");
        out.extend(length.to_le_bytes());
        out.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        out
    }

    #[test]
    fn headers_of_pipes_are_believed_only_so_far() {
        for length in [4, 0xFFFF_FFFF, 0x7FFF_F000] {
            let pcm = read(&write(1, &[16_384, -16_384], length)).expect("reads");
            assert_eq!(pcm, Pcm { rate_hz: 24_000, samples: vec![0.5, -0.5] });
        }
        let stereo = read(&write(2, &[16_384, 0, 0, 0, 9], u32::MAX)).expect("reads");
        assert_eq!(stereo.samples, [0.25, 0.0]);
        assert_eq!(read(b"<html>"), Err("it is no WAV file".into()));
        assert!(read(&write(0, &[], 0)).is_err() && read(&write(1, &[], 0)[..30]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(cut in 0usize..60, at in 0usize..60, byte: u8) {
            let mut file = write(1, &[1, 2, 3], 6);
            if let Some(b) = file.get_mut(at) { *b = byte; }
            file.truncate(file.len().saturating_sub(cut));
            let _ = read(&file);
        }
    }

    #[test]
    fn fuzz_wav() {
        crate::fuzz::run("wav", |bytes| {
            if let Ok(pcm) = read(bytes) {
                assert!(RATES_HZ.contains(&pcm.rate_hz) && pcm.samples.len() <= bytes.len());
            }
        });
    }
}
