//! Which file of a DVR window is which.

use std::fmt;

use crate::egress::segments::TrackId;
use crate::media::Language;

/// Files of one kind, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::egress::segments) enum Series {
    /// The segments of a track.
    Track(TrackId),
    /// The captions in a language, in the segments of this track.
    Captions(Language, TrackId),
}

impl Series {
    /// The track that numbers the files.
    pub(in crate::egress::segments) fn track(&self) -> &TrackId {
        match self {
            Self::Track(id) | Self::Captions(_, id) => id,
        }
    }
}

/// A file of a DVR window; displayed as its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::egress::segments) struct FileId {
    pub(in crate::egress::segments) series: Series,
    pub(in crate::egress::segments) sequence: u64,
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.series {
            Series::Track(id) => write!(f, "{id}.{}.m4s", self.sequence),
            Series::Captions(language, id) => {
                write!(f, "captions-{language}.{id}.{}.vtt", self.sequence)
            }
        }
    }
}
