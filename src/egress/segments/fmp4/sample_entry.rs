//! Sample entries: the decoder configuration of a track, also as a codec string (RFC 6381).

use std::time::Duration;

use super::TrackInfo;
use super::boxes::BoxWriter;
use crate::media::Codec;

/// Ticks per second of video tracks: a whole number per frame at all usual frame rates.
const VIDEO_TICKS_PER_S: u32 = 90_000;

/// Track parameters from the caps.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// `codec_data` of the caps: avcC, hvcC, av1C or the AudioSpecificConfig.
    pub config: Vec<u8>,
    pub width: u16,
    pub height: u16,
    pub fps: f64,
    /// Width-to-height ratio of a pixel.
    pub pixel_aspect: (u32, u32),
    pub rate: u32,
    pub channels: u16,
    /// Profile number of VP9 or AV1.
    pub profile: u8,
    pub bit_depth: u8,
    /// 4:2:0 = 1, 4:2:2 = 2, 4:4:4 = 3, monochrome = 0.
    pub chroma: u8,
    /// The first key frame, for codecs that carry their configuration only there.
    pub first_frame: Vec<u8>,
}

impl Described {
    /// Builds the track. The error names what is missing or unsupported.
    pub(super) fn track(&self, codec: Codec) -> Result<TrackInfo, String> {
        match codec {
            Codec::H264 => {
                let c = self.config_of(4)?;
                let mime = format!("avc1.{:02x}{:02x}{:02x}", c[1], c[2], c[3]);
                Ok(self.visual(codec, b"avc1", b"avcC", c, mime))
            }
            Codec::H265 => {
                let c = self.config_of(13)?;
                Ok(self.visual(codec, b"hvc1", b"hvcC", c, hevc_mime(c)))
            }
            Codec::Av1 => {
                let c = self.av1_config()?;
                let (level, depth) = (c[1] & 31, self.bit_depth.max(8));
                let tier = if c[2] & 0x80 == 0 { 'M' } else { 'H' };
                let mime = format!("av01.{}.{level:02}{tier}.{depth:02}", c[1] >> 5);
                Ok(self.visual(codec, b"av01", b"av1C", &c, mime))
            }
            Codec::Vp9 | Codec::Vp8 => {
                let (level, depth) = (self.vp9_level(), self.bit_depth.max(8));
                // Unspecified colours: players read them from the bitstream.
                let packed = depth << 4 | if self.chroma > 1 { self.chroma << 1 } else { 2 };
                let c = [1, 0, 0, 0, self.profile, level, packed, 2, 2, 2, 0, 0];
                let (kind, letters) =
                    if codec == Codec::Vp9 { (b"vp09", "vp09") } else { (b"vp08", "vp08") };
                let mime = format!("{letters}.{:02}.{level:02}.{depth:02}", self.profile);
                Ok(self.visual(codec, kind, b"vpcC", &c, mime))
            }
            Codec::Aac => self.aac(),
            Codec::Opus => self.opus(),
            other => Err(format!("{other} has no place in MP4 here")),
        }
    }

    fn config_of(&self, least: usize) -> Result<&[u8], String> {
        if self.config.len() < least {
            return Err("the stream does not describe its decoder (no codec_data)".into());
        }
        Ok(&self.config)
    }

    fn visual(
        &self,
        codec: Codec,
        kind: &[u8; 4],
        config_kind: &[u8; 4],
        config: &[u8],
        mime: String,
    ) -> TrackInfo {
        let mut entry = Vec::with_capacity(128 + config.len());
        entry.boxed(kind, |v| {
            v.zeros(6);
            v.u16(1); // data reference
            v.zeros(16);
            v.u16(self.width);
            v.u16(self.height);
            v.u32(0x0048_0000); // 72 dpi
            v.u32(0x0048_0000);
            v.u32(0);
            v.u16(1); // frames per sample
            v.zeros(32); // compressor name
            v.u16(24); // depth
            v.u16(0xffff);
            v.boxed(config_kind, |v| v.extend_from_slice(config));
            let (h, w) = self.pixel_aspect;
            if h != w && h > 0 && w > 0 {
                v.boxed(b"pasp", |v| {
                    v.u32(h);
                    v.u32(w);
                });
            }
        });
        TrackInfo {
            codec,
            timescale: VIDEO_TICKS_PER_S,
            entry,
            mime,
            width: self.width,
            height: self.height,
            fps: self.fps,
            channels: 0,
            frame: None,
        }
    }

    fn audio(&self, codec: Codec, rate: u32, kind: &[u8; 4], mime: String) -> TrackInfo {
        let mut entry = Vec::with_capacity(96);
        entry.boxed(kind, |v| {
            v.zeros(6);
            v.u16(1);
            v.zeros(8);
            v.u16(self.channels.max(1));
            v.u16(16);
            v.zeros(4);
            v.u32(if rate < 65_536 { rate << 16 } else { 0 });
            match codec {
                Codec::Opus => v.boxed(b"dOps", |v| {
                    v.push(0);
                    v.push(u8::try_from(self.channels.max(1)).unwrap_or(2));
                    v.u16(0); // pre-skip: we join in the middle, nothing is to be skipped
                    v.u32(self.rate);
                    v.u16(0);
                    v.push(0);
                }),
                _ => v.full_box(b"esds", 0, 0, |v| elementary_stream(v, &self.config)),
            }
        });
        TrackInfo {
            codec,
            timescale: rate,
            entry,
            mime,
            width: 0,
            height: 0,
            fps: 0.0,
            channels: self.channels,
            frame: None,
        }
    }

    fn aac(&self) -> Result<TrackInfo, String> {
        let asc = AudioSpecificConfig::read(self.config_of(2)?)
            .ok_or("its AudioSpecificConfig makes no sense")?;
        let mime = format!("mp4a.40.{}", asc.object_type);
        let mut info = self.audio(Codec::Aac, asc.rate, b"mp4a", mime);
        let ns = u64::from(asc.frame_samples) * 1_000_000_000 / u64::from(asc.rate);
        info.frame = Some(Duration::from_nanos(ns));
        Ok(info)
    }

    fn opus(&self) -> Result<TrackInfo, String> {
        if self.channels > 2 {
            return Err(format!("Opus with {} channels is not carried, only 1-2", self.channels));
        }
        Ok(self.audio(Codec::Opus, 48_000, b"Opus", "opus".into()))
    }

    /// `av1C` (AV1 in ISOBMFF 2.3), built from the sequence header if the caps have none.
    fn av1_config(&self) -> Result<Vec<u8>, String> {
        if self.config.len() >= 4 {
            return Ok(self.config.clone());
        }
        let header = av1_sequence_header(&self.first_frame)
            .ok_or("its first frame has no AV1 sequence header")?;
        let level = av1_level(header.1).unwrap_or(8);
        let depth = u8::from(self.bit_depth > 8) << 6 | u8::from(self.bit_depth > 10) << 5;
        let chroma = match self.chroma {
            0 => 0b0001_1100, // monochrome, subsampled both ways
            1 => 0b0000_1100,
            2 => 0b0000_1000,
            _ => 0,
        };
        let mut config = vec![0x81, self.profile << 5 | level, depth | chroma, 0];
        config.extend_from_slice(header.0);
        Ok(config)
    }

    /// The lowest VP9 level that allows the frame size, times ten.
    fn vp9_level(&self) -> u8 {
        match u32::from(self.width) * u32::from(self.height) {
            0..=122_880 => 21,
            122_881..=552_960 => 30,
            552_961..=983_040 => 31,
            983_041..=2_228_224 => 41,
            2_228_225..=8_912_896 => 51,
            _ => 61,
        }
    }
}

/// The descriptors of `esds` (ISO/IEC 14496-1, 7.2.6).
fn elementary_stream(v: &mut Vec<u8>, config: &[u8]) {
    // Lengths below 128 take one byte; the configurations of all supported AAC are shorter.
    let config = &config[..config.len().min(64)];
    let length = u8::try_from(config.len()).unwrap_or(0);
    v.extend_from_slice(&[3, 23 + length, 0, 0, 0]);
    v.extend_from_slice(&[4, 15 + length, 0x40, 0x15]);
    v.zeros(11); // buffer size and bit rates: not known
    v.extend_from_slice(&[5, length]);
    v.extend_from_slice(config);
    v.extend_from_slice(&[6, 1, 2]);
}

struct AudioSpecificConfig {
    object_type: u32,
    rate: u32,
    frame_samples: u32,
}

impl AudioSpecificConfig {
    /// Parses the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) as far as needed.
    fn read(bytes: &[u8]) -> Option<Self> {
        const SAMPLE_RATES_HZ: [u32; 13] = [
            96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
            8_000, 7_350,
        ];
        let mut bits = Bits { bytes, at: 0 };
        let object_type = |bits: &mut Bits| match bits.take(5)? {
            31 => Some(32 + bits.take(6)?),
            n => Some(n),
        };
        let rate = |bits: &mut Bits| match bits.take(4)? {
            15 => bits.take(24),
            n => SAMPLE_RATES_HZ.get(usize::try_from(n).ok()?).copied(),
        };
        let signalled = object_type(&mut bits)?;
        let core_rate = rate(&mut bits)?;
        bits.take(4)?;
        if signalled == 5 || signalled == 29 {
            rate(&mut bits)?;
            object_type(&mut bits)?;
        }
        let short = bits.take(1).unwrap_or(0) == 1;
        let frame_samples = if short { 960 } else { 1024 };
        (core_rate > 0).then_some(Self { object_type: signalled, rate: core_rate, frame_samples })
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }
}

/// `hvc1.` and the profile, compatibility, tier, level and constraints (ISO/IEC 14496-15, E.3).
fn hevc_mime(c: &[u8]) -> String {
    let space = ["", "A", "B", "C"][usize::from(c[1] >> 6)];
    let tier = if c[1] & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([c[2], c[3], c[4], c[5]]).reverse_bits();
    let constraints = &c[6..12];
    let used = constraints.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints[..used].iter().map(|b| format!(".{b:X}")).collect();
    format!("hvc1.{space}{}.{compatibility:X}.{tier}{}{constraints}", c[1] & 31, c[12])
}

/// The sequence header OBU of a temporal unit: the whole OBU, and its payload.
fn av1_sequence_header(unit: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = unit;
    while let Some(&head) = rest.first() {
        let extension = usize::from(head >> 2 & 1);
        if head & 2 == 0 {
            return None;
        }
        let (mut size, mut at) = (0_usize, 1 + extension);
        for shift in (0..35).step_by(7) {
            let byte = *rest.get(at)?;
            at += 1;
            size |= usize::from(byte & 127) << shift;
            if byte & 128 == 0 {
                break;
            }
        }
        let end = at.checked_add(size).filter(|end| *end <= rest.len())?;
        if head >> 3 & 15 == 1 {
            return Some((&rest[..end], &rest[at..end]));
        }
        rest = &rest[end..];
    }
    None
}

/// `seq_level_idx` of a sequence header without timing information (AV1 5.5.1).
fn av1_level(payload: &[u8]) -> Option<u8> {
    let mut bits = Bits { bytes: payload, at: 0 };
    bits.take(4)?;
    let level = if bits.take(1)? == 1 {
        bits.take(5)?
    } else if bits.take(1)? == 1 {
        return None;
    } else {
        bits.take(1 + 5 + 12)?;
        bits.take(5)?
    };
    u8::try_from(level).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_strings_follow_the_configuration() {
        let check = |codec, config: &[u8], expect: &str| {
            let described = Described {
                config: config.to_vec(),
                channels: 2,
                rate: 48_000,
                ..Described::default()
            };
            assert_eq!(described.track(codec).expect("known").mime, expect);
        };
        check(Codec::H264, &[1, 0x64, 0, 0x1f, 0xff], "avc1.64001f");
        let hvcc = [1, 1, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 0x5d];
        check(Codec::H265, &hvcc, "hvc1.1.6.L93.B0");
        check(Codec::Aac, &[0x11, 0x90], "mp4a.40.2");
        check(Codec::Opus, &[], "opus");
    }

    #[test]
    fn aac_frames_have_their_length() {
        let track = |config: &[u8]| {
            Described { config: config.to_vec(), ..Described::default() }.track(Codec::Aac)
        };
        let lc = track(&[0x11, 0x90]).expect("AAC-LC, 48 kHz, stereo");
        assert_eq!((lc.timescale, lc.ticks(lc.frame.expect("fixed"))), (48_000, 1024));
        let he = track(&[0x2b, 0x11, 0x88, 0]).expect("HE-AAC, 24 kHz core");
        assert_eq!((he.timescale, he.mime.as_str()), (24_000, "mp4a.40.5"));
        assert!(track(&[0x17]).is_err(), "cut short");
        assert!(track(&[0x16, 0xff]).is_err(), "a reserved sampling rate");
    }

    proptest::proptest! {
        #[test]
        fn any_configuration_is_survived(config: Vec<u8>, first_frame: Vec<u8>) {
            let described = Described { config, first_frame, channels: 2, ..Described::default() };
            for codec in Codec::ALL {
                let _ = described.track(codec);
            }
        }
    }

    /// Decoder configuration and first frame from a publisher: the result is a valid box or an
    /// error.
    #[test]
    fn fuzz_sample_entry() {
        crate::fuzz::run("sample-entry", |bytes| {
            let (config, first_frame) = (bytes.to_vec(), bytes.to_vec());
            let described = Described { config, first_frame, channels: 2, ..Described::default() };
            for codec in Codec::ALL {
                if let Ok(track) = described.track(codec) {
                    assert!(track.timescale > 0 && !track.mime.is_empty());
                }
            }
        });
    }
}
