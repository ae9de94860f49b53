//! Formats of recordings.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::egress::heard;
use crate::media::{Accept, Accepts, Captions, Codec};

/// Container and codecs of a recording.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = RecordingFormat)]
pub enum Format {
    /// Fragmented MP4 with the video and audio of the stream.
    #[default]
    Mp4,
    /// The voice alone by AIC-A, mono, 16 kHz, at about 3 kbit/s: a day takes 33 MB. Not for music.
    Aic,
}

impl Format {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Mp4, Self::Aic];

    /// Extension of its files, which is also its name in the API.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Aic => "aic",
        }
    }

    /// The media type of its files.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::Aic => "audio/x-aic",
        }
    }

    /// The format of a file, by its extension.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        Self::ALL.into_iter().find(|format| extension == format.extension())
    }

    /// The media that are recorded without transcoding.
    pub fn accepts(self) -> Accepts {
        match self {
            Self::Mp4 => {
                let video =
                    Accept::any_of([Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9, Codec::Vp8]);
                let audio = Accept::any_of([Codec::Aac, Codec::Opus]);
                let captions = Captions { text: true, embedded: true };
                Accepts::media(Some(video), Some(audio)).with_captions(captions)
            }
            Self::Aic => {
                let captions = Captions { text: true, embedded: false };
                Accepts::media(None, Some(heard::accept())).with_captions(captions)
            }
        }
    }
}
