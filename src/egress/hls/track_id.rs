//! Names of tracks, as they stand in the names of files.

use std::fmt;

use crate::media::{Kind, Language};

/// Which track of a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrackId {
    /// The pictures.
    Video,
    /// The pictures as H.264, where the original is of a codec that not every browser decodes.
    H264,
    /// The original sound.
    Audio,
    /// The sound in another language.
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
            Self::Video | Self::H264 => Kind::Video,
            Self::Audio | Self::Dub(_) => Kind::Audio,
        }
    }

    /// Whether it is made of an original: what happens to it leaves no trace in the originals.
    pub fn is_derived(&self) -> bool {
        matches!(self, Self::Dub(_) | Self::H264)
    }

    /// Reads `video`, `video-h264`, `audio`, `audio-es`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "video" => Some(Self::Video),
            "video-h264" => Some(Self::H264),
            "audio" => Some(Self::Audio),
            _ => name.strip_prefix("audio-")?.parse().ok().map(Self::Dub),
        }
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video => f.write_str("video"),
            Self::H264 => f.write_str("video-h264"),
            Self::Audio => f.write_str("audio"),
            Self::Dub(language) => write!(f, "audio-{language}"),
        }
    }
}
