//! Ids of tracks, as used in file names.

use std::fmt;

use crate::media::{Kind, Language};

/// A track of a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrackId {
    /// The original video.
    Video,
    /// The rung of the ladder with this height in lines, as H.264.
    Rung(u32),
    /// The video as H.264 in its size, if the original has a codec that not every browser decodes.
    H264,
    /// The original audio.
    Audio,
    /// The audio in another language.
    Dub(Language),
}

impl TrackId {
    /// The original track of a kind.
    pub fn original(kind: Kind) -> Self {
        match kind {
            Kind::Video => Self::Video,
            Kind::Audio => Self::Audio,
        }
    }

    /// Video or audio.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Video | Self::H264 | Self::Rung(_) => Kind::Video,
            Self::Audio | Self::Dub(_) => Kind::Audio,
        }
    }

    /// Whether it is derived from an original track, so that its failures do not affect the
    /// originals.
    pub fn is_derived(&self) -> bool {
        matches!(self, Self::Dub(_) | Self::H264 | Self::Rung(_))
    }

    /// Parses `video`, `video-h264`, `video-480p`, `audio`, `audio-es`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "video" => Some(Self::Video),
            "video-h264" => Some(Self::H264),
            "audio" => Some(Self::Audio),
            _ => match name.strip_prefix("video-").and_then(|rung| rung.strip_suffix('p')) {
                Some(height) => height.parse().ok().map(Self::Rung),
                None => name.strip_prefix("audio-")?.parse().ok().map(Self::Dub),
            },
        }
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video => f.write_str("video"),
            Self::H264 => f.write_str("video-h264"),
            Self::Rung(height) => write!(f, "video-{height}p"),
            Self::Audio => f.write_str("audio"),
            Self::Dub(language) => write!(f, "audio-{language}"),
        }
    }
}
