//! Names of tracks, as they stand in the names of files.

use std::fmt;

use crate::media::{Kind, Language};

/// Which track of a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrackId {
    /// The pictures.
    Video,
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
            Self::Video => Kind::Video,
            Self::Audio | Self::Dub(_) => Kind::Audio,
        }
    }

    /// Whether it is sound in another language.
    pub fn is_dub(&self) -> bool {
        matches!(self, Self::Dub(_))
    }

    /// Reads `video`, `audio`, `audio-es`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "video" => Some(Self::Video),
            "audio" => Some(Self::Audio),
            _ => name.strip_prefix("audio-")?.parse().ok().map(Self::Dub),
        }
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video => f.write_str("video"),
            Self::Audio => f.write_str("audio"),
            Self::Dub(language) => write!(f, "audio-{language}"),
        }
    }
}
