//! What workers run.

use super::{OutputKind, SourceSpec};
use crate::egress;
use crate::egress::segments::{self, TrackId};
use crate::media::{Accept, Accepts, Codec, Kind, Rung};
use crate::process::ProcessNode;

/// What a worker runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Job {
    /// Pulls a source.
    Pull { source: SourceSpec, slot: Slot },
    /// A process node between feeds.
    Process(ProcessNode),
    /// Replaces a source that is gone.
    Slate,
    /// A recording, push or trunk.
    Output(OutputKind),
    /// Fills the segment store.
    Segments,
    /// Adds the video as H.264 to the segment store: for players that do not decode the original
    /// codec, or in the size of a rung of the ladder.
    SegmentsEncoded { id: TrackId, rung: Option<Rung> },
    /// Small JPEG pictures for stream lists.
    Thumbnail,
    /// Writes committed cues to the archive.
    Archive { days: u32 },
}

impl Job {
    pub(super) fn is_process(&self) -> bool {
        matches!(self, Self::Process(_))
    }

    pub(super) fn is_pull(&self) -> bool {
        matches!(self, Self::Pull { .. })
    }

    /// Whether it fills caption feeds.
    pub(super) fn makes_captions(&self) -> bool {
        matches!(self, Self::Process(node) if node.makes_captions())
    }

    /// Whether it takes media out of the stream.
    pub(super) fn is_egress(&self) -> bool {
        match self {
            Self::Output(_)
            | Self::Segments
            | Self::SegmentsEncoded { .. }
            | Self::Thumbnail
            | Self::Archive { .. } => true,
            Self::Pull { .. } | Self::Process(_) | Self::Slate => false,
        }
    }

    /// Whether it opens files named by the admin; such a read may hang.
    pub(super) fn reads_files(&self) -> bool {
        match self {
            Self::Pull { source, .. } => source.reads_files(),
            Self::Output(output) => output.reads_files(),
            _ => false,
        }
    }

    /// Description for the admin.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Pull { source, .. } => match source.protocol() {
                Some(protocol) => format!("{protocol} from {}", source.shown()),
                None => "published".into(),
            },
            Self::Process(node) => node.describe(),
            Self::Slate => "slate".into(),
            Self::Output(kind) => format!("{} {}", kind.word(), kind.shown()),
            Self::Segments => "HLS segments".into(),
            Self::SegmentsEncoded { rung: None, .. } => "HLS segments as H.264".into(),
            Self::SegmentsEncoded { rung: Some(rung), .. } => format!("HLS segments {rung}"),
            Self::Thumbnail => "thumbnail".into(),
            Self::Archive { .. } => "archive of captions".into(),
        }
    }

    /// The media that it accepts.
    pub(super) fn accepts(&self) -> Accepts {
        match self {
            Self::Output(kind) => kind.accepts(),
            Self::Segments => segments::accepts(),
            Self::SegmentsEncoded { rung, .. } => segments::accepts_encoded(*rung),
            Self::Archive { .. } => egress::archive::accepts(),
            Self::Thumbnail => {
                let video = Codec::ALL.into_iter().filter(|c| c.kind() == Kind::Video);
                Accepts::media(Some(Accept::any_of(video.collect::<Vec<_>>())), None)
            }
            Self::Pull { .. } | Self::Process(_) | Self::Slate => Accepts::default(),
        }
    }
}

/// The place of a publisher: source or backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Source,
    Backup,
}

impl Slot {
    /// The value in the API; also the name of the worker that pulls it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Backup => "backup",
        }
    }
}
