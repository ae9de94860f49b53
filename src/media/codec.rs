//! Codecs and the properties of tracks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Memory;

/// Whether a track is video or audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Moving pictures.
    Video,
    /// Speech, music and other sound.
    Audio,
}

impl Kind {
    /// Both kinds, video first.
    pub const ALL: [Kind; 2] = [Kind::Video, Kind::Audio];

    /// `video` or `audio`; also the name of the stream's own feed of that kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Video => "video",
            Kind::Audio => "audio",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Coding of video or audio, including the two raw formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// Uncompressed video.
    RawVideo,
    /// MPEG-4 AAC (LC or HE).
    Aac,
    /// Opus.
    Opus,
    /// MPEG-1/2 layer II.
    Mp2,
    /// MPEG-1/2 layer III.
    Mp3,
    /// Uncompressed audio.
    RawAudio,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 11] = [
        Codec::H264,
        Codec::H265,
        Codec::Vp8,
        Codec::Vp9,
        Codec::Av1,
        Codec::RawVideo,
        Codec::Aac,
        Codec::Opus,
        Codec::Mp2,
        Codec::Mp3,
        Codec::RawAudio,
    ];

    /// The kind of media that it codes.
    pub fn kind(self) -> Kind {
        match self {
            Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::RawVideo => {
                Kind::Video
            }
            Codec::Aac | Codec::Opus | Codec::Mp2 | Codec::Mp3 | Codec::RawAudio => Kind::Audio,
        }
    }

    /// Whether it is uncompressed.
    pub fn is_raw(self) -> bool {
        matches!(self, Codec::RawVideo | Codec::RawAudio)
    }

    /// Short lower-case name, as in plans, feeds and the API: `h264`, `aac`, `rawaudio` …
    pub fn as_str(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::H265 => "h265",
            Codec::Vp8 => "vp8",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
            Codec::RawVideo => "rawvideo",
            Codec::Aac => "aac",
            Codec::Opus => "opus",
            Codec::Mp2 => "mp2",
            Codec::Mp3 => "mp3",
            Codec::RawAudio => "rawaudio",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let lower = if lower == "hevc" { "h265".into() } else { lower };
        Codec::ALL.into_iter().find(|c| c.as_str() == lower).ok_or_else(|| {
            let known = Codec::ALL.map(Codec::as_str).join(" ");
            format!("`{text}` is not a codec; known: {known}")
        })
    }
}

/// H.264 profile as far as it matters to browsers, from `profile_idc` and the constraint flags
/// (ITU-T H.264 annex A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum H264Profile {
    /// Baseline with constraint_set1: decoded by every browser.
    ConstrainedBaseline,
    /// Baseline without the constraint (FMO/ASO allowed).
    Baseline,
    /// Main.
    Main,
    /// High, 4:2:0 8 bit.
    High,
    /// Everything else (High 10, 4:2:2, 4:4:4 …), which browsers refuse.
    Other,
}

/// Properties of a video track. Zero means not known yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoDetail {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: f32,
    /// Profile; H.264 only.
    pub profile: Option<H264Profile>,
    /// Whether frames are decoded in another order than shown (B-frames). WebRTC does not support
    /// it.
    pub reorders: bool,
    /// Whether decoding begins at recovery points (ITU-T H.264 D.2.8) and not only at IDR pictures:
    /// intra refresh and open GOPs.
    #[serde(default)]
    pub recovery_points: bool,
}

/// Properties of an audio track. Zero means not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioDetail {
    /// Samples per second and channel.
    pub rate: u32,
    /// Number of channels.
    pub channels: u32,
}

/// The format of a track in a feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// Details of a video codec, default for audio.
    #[serde(default)]
    pub video: VideoDetail,
    /// Details of an audio codec, default for video.
    #[serde(default)]
    pub audio: AudioDetail,
    /// Where frames of raw video lie.
    #[serde(default, skip_serializing_if = "Memory::is_system")]
    pub memory: Memory,
}

impl Format {
    /// A format with unknown details, in system memory.
    pub fn new(codec: Codec) -> Self {
        let (video, audio) = (VideoDetail::default(), AudioDetail::default());
        Self { codec, video, audio, memory: Memory::System }
    }

    /// Video or audio.
    pub fn kind(&self) -> Kind {
        self.codec.kind()
    }
}

impl fmt::Display for Format {
    /// Display form: `h264 1280x720 30 fps High B-frames`, `aac 48000 Hz 2 ch`. The memory is
    /// shown unless it is system memory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.codec)?;
        if self.video.width > 0 {
            write!(f, " {}x{}", self.video.width, self.video.height)?;
        }
        if self.video.fps > 0.0 {
            write!(f, " {:.0} fps", self.video.fps)?;
        }
        if let Some(profile) = self.video.profile {
            write!(f, " {profile:?}")?;
        }
        if self.video.reorders {
            f.write_str(" B-frames")?;
        }
        if self.video.recovery_points {
            f.write_str(" recovery points")?;
        }
        if self.audio.rate > 0 {
            write!(f, " {} Hz {} ch", self.audio.rate, self.audio.channels)?;
        }
        if !self.memory.is_system() {
            write!(f, " in {}", self.memory)?;
        }
        Ok(())
    }
}
