//! The kinds of node, and what each accepts.

use super::{OutputKind, SourceSpec};
use crate::egress::{self, hls, record};
use crate::media::{Accept, Accepts, Codec, Kind};
use crate::process::{captions, speak, transcribe, translate};

/// What a worker runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Job {
    /// Pulls a source.
    Pull { source: SourceSpec, slot: Slot },
    /// Decodes compressed media to raw media.
    Decode,
    /// Noise suppression.
    Denoise,
    /// Encodes raw media.
    Encode { codec: Codec, encoder: String },
    /// Audio to captions.
    Transcribe(transcribe::Settings),
    /// Captions to captions in another language.
    Translate(translate::Settings),
    /// Captions to audio.
    Speak(speak::Settings),
    /// Embeds captions in the video.
    Embed(captions::Embed),
    /// Replaces a source that is gone.
    Slate,
    /// Writes a recording, or sends a push or trunk.
    Output(OutputKind),
    /// HLS segments.
    Hls,
    /// Transcodes the video of HLS to H.264, for players that do not decode the original codec.
    HlsH264,
    /// Small JPEG pictures for stream lists.
    Thumbnail,
    /// Writes committed cues to the archive.
    Archive { days: u32 },
}

impl Job {
    pub(super) fn is_process(&self) -> bool {
        matches!(
            self,
            Self::Decode
                | Self::Denoise
                | Self::Encode { .. }
                | Self::Transcribe(_)
                | Self::Translate(_)
                | Self::Speak(_)
                | Self::Embed(_)
        )
    }

    /// Whether it fills caption feeds.
    pub(super) fn makes_captions(&self) -> bool {
        matches!(self, Self::Transcribe(_) | Self::Translate(_))
    }

    pub(super) fn is_egress(&self) -> bool {
        matches!(
            self,
            Self::Output(_) | Self::Hls | Self::HlsH264 | Self::Thumbnail | Self::Archive { .. }
        )
    }

    /// Whether it opens files named by the admin; such a read may hang.
    pub(super) fn reads_files(&self) -> bool {
        match self {
            Self::Pull { source, .. } => source.reads_files(),
            Self::Output(output) => output.reads_files(),
            _ => false,
        }
    }

    pub(super) fn is_pull(&self) -> bool {
        matches!(self, Self::Pull { .. })
    }

    /// Description for the admin.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Pull { source, .. } => match source.protocol() {
                Some(protocol) => format!("{protocol} from {}", source.shown()),
                None => "published".into(),
            },
            Self::Decode => "decode".into(),
            Self::Denoise => "noise suppression".into(),
            Self::Encode { codec, encoder } => format!("encode {codec} by {encoder}"),
            Self::Transcribe(settings) => format!("captions in {}", settings.language),
            Self::Translate(settings) => format!("translation to {}", settings.to.name()),
            Self::Speak(settings) => format!("a voice in {}", settings.language.name()),
            Self::Embed(_) => "captions into pictures".into(),
            Self::Slate => "slate".into(),
            Self::Output(kind) => format!("{} {}", kind.word(), kind.shown()),
            Self::Hls => "HLS segments".into(),
            Self::HlsH264 => "HLS segments as H.264".into(),
            Self::Thumbnail => "thumbnail".into(),
            Self::Archive { .. } => "archive of captions".into(),
        }
    }

    /// The media that it accepts.
    pub(super) fn accepts(&self) -> Accepts {
        match self {
            Self::Output(kind) => kind.accepts(),
            Self::Hls => hls::accepts(),
            Self::HlsH264 => hls::accepts_h264(),
            Self::Archive { .. } => egress::archive::accepts(),
            Self::Thumbnail => {
                let pictures = Codec::ALL.into_iter().filter(|c| c.kind() == Kind::Video);
                Accepts::media(Some(Accept::any_of(pictures.collect::<Vec<_>>())), None)
            }
            Self::Pull { .. }
            | Self::Decode
            | Self::Denoise
            | Self::Encode { .. }
            | Self::Transcribe(_)
            | Self::Translate(_)
            | Self::Speak(_)
            | Self::Embed(_)
            | Self::Slate => Accepts::default(),
        }
    }
}

impl OutputKind {
    /// The media that an output of this kind accepts.
    pub fn accepts(&self) -> Accepts {
        match self {
            Self::Record(_) => record::accepts(),
            Self::Push { url } if url.starts_with("srt:") => egress::srt::accepts(),
            Self::Push { .. } => egress::rtmp::accepts(),
            Self::Trunk(settings) => egress::trunk::accepts(settings),
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
