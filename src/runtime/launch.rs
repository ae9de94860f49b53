//! Turns a job into a running node: the one place that knows every protocol and process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};

use super::held::Held;
use super::refusals::Refusals;
use super::stream::{Command, Slot};
use super::studio::Studio;
use super::supervisor::Options;
use super::{Event, OutputKind, SourceSpec, Speech, StreamSpec, Wanted};
use crate::egress::{self, hls, record, thumbnail};
use crate::flow::{CueFeed, Error, Feed, Inputs, Intake, Task, Writer};
use crate::ingress;
use crate::media::{Accept, Accepts, Codec, Format, Kind, Secret, StreamName};
use crate::process::encoders::{Encoder, Encoders};
use crate::process::{
    captions, decode, denoise, embed, encode, slate, speak, transcribe, translate,
};
use crate::telemetry::LogLimiter;

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
            Self::Pull { source, .. } => format!("{} from {}", source.protocol(), source.shown()),
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

/// What all streams share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) encoders: Encoders,
    pub(super) speech: Speech,
    /// The best encoder per codec, for the plan.
    pub(super) best_encoders: BTreeMap<Codec, String>,
    pub(super) events: broadcast::Sender<Event>,
    /// Decides which refusals are logged.
    pub(super) refusal_log: LogLimiter,
    /// Viewers in all streams.
    pub(super) viewers: AtomicUsize,
    /// Streams that have failed and wait to be started again.
    pub(super) failed: AtomicUsize,
    pub(super) stopping: AtomicBool,
    /// Streams whose files are opened only after the admin starts or changes them.
    pub(super) held: Held,
    /// Read on every request of every protocol; written when a stream is added or removed.
    pub(super) streams: std::sync::RwLock<BTreeMap<StreamName, Entry>>,
}

/// One stream as seen from outside its task.
#[derive(Clone)]
pub(super) struct Entry {
    /// The wanted state; the stream follows its changes.
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) thumbnail: watch::Sender<Option<Bytes>>,
    pub(super) refusals: Arc<Refusals>,
}

impl Entry {
    pub(super) fn spec(&self) -> Arc<StreamSpec> {
        Arc::clone(&self.wanted.borrow().spec)
    }
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn entry(&self, name: &StreamName) -> Option<Entry> {
        let streams = self.streams.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.get(name).cloned()
    }

    /// Finds the stream whose token a caller gave in place of a stream name.
    pub(super) fn entry_of_token(&self, shown: &StreamName) -> Option<Entry> {
        let shown = Secret::new(shown.as_str());
        let opens = |entry: &&Entry| {
            let spec = entry.spec();
            let access = &spec.access;
            let tokens = [&access.publish_token, &access.play_token];
            tokens.into_iter().flatten().any(|token| shown.matches(token))
        };
        let streams = self.streams.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.values().find(opens).cloned()
    }
}

/// What one run of a node gets from its stream.
pub(super) struct Launch {
    pub(super) task: Task,
    pub(super) stream: StreamName,
    pub(super) shared: Arc<Shared>,
    pub(super) inputs: Inputs,
    /// The media feed that it fills.
    pub(super) output: Option<Feed>,
    /// Caption feeds that a process node reads.
    pub(super) words: Vec<CueFeed>,
    /// The caption feed that it fills.
    pub(super) captions: Option<CueFeed>,
    /// Where a pulled source delivers its media.
    pub(super) intake: Option<Intake>,
    pub(super) denoise: watch::Receiver<denoise::Settings>,
    /// The stream's own feeds with their last formats.
    pub(super) programme: [(Feed, Option<Format>); 2],
    pub(super) shelf: Option<Arc<hls::Shelf>>,
}

impl Launch {
    /// The single feed that a process node reads, and the writer of its output.
    fn process(&self) -> Result<(Feed, Writer), Error> {
        let input = self.inputs.video.clone().or_else(|| self.inputs.audio.clone());
        match (input, &self.output) {
            (Some(input), Some(output)) => Ok((input, output.sole_writer())),
            _ => Err(gone(&self.task)),
        }
    }
}

fn gone(task: &Task) -> Error {
    Error::build(&task.name, "its feeds are gone")
}

/// Runs a job until it ends.
pub(super) async fn run(job: Job, mut context: Launch) -> Result<(), Error> {
    let task = context.task.clone();
    match job {
        Job::Pull { source, .. } => pull(source, context).await,
        Job::Decode => {
            let (input, output) = context.process()?;
            decode::run(task, input, output).await
        }
        Job::Denoise => {
            let (input, output) = context.process()?;
            denoise::run(task, input, output, context.denoise).await
        }
        Job::Encode { codec, encoder } => {
            let (input, output) = context.process()?;
            let encoder = Encoder { codec, factory: encoder };
            encode::run(task, input, output, encoder, context.shared.options.encode.clone()).await
        }
        Job::Transcribe(settings) => {
            let Some(output) = context.captions.take() else { return Err(gone(&task)) };
            let Some(input) = context.inputs.audio else {
                transcribe::stand_by(task).await;
                return Ok(());
            };
            let engines = Arc::clone(&context.shared.speech.stt);
            transcribe::run(task, input, output, engines, settings).await
        }
        Job::Translate(settings) => {
            let input = context.words.first().cloned();
            let (Some(input), Some(output)) = (input, context.captions.take()) else {
                return Err(gone(&task));
            };
            let translators = Arc::clone(&context.shared.speech.translators);
            translate::run(task, input, output, translators, settings).await
        }
        Job::Archive { days } => match context.shared.speech.keeper.clone() {
            Some(keeper) => {
                let captions = context.inputs.captions;
                egress::archive::run(task, context.stream, captions, keeper, days).await
            }
            None => Err(Error::build("archive", "this appliance keeps no words")),
        },
        Job::Embed(settings) => {
            let words = std::mem::take(&mut context.words);
            let (input, output) = context.process()?;
            embed::run(task, input, words, output, settings).await
        }
        Job::Speak(settings) => {
            let Some(words) = context.words.first().cloned() else { return Err(gone(&task)) };
            let voices = Arc::clone(&context.shared.speech.voices);
            let (input, output) = context.process()?;
            speak::run(task, input, words, output, voices, settings).await
        }
        Job::Slate => {
            let [video, audio] = context.programme.map(|(feed, format)| {
                let writer = feed.writer(None);
                format.map(|format| {
                    writer.activate();
                    (writer, format)
                })
            });
            let name = context.stream.to_string();
            slate::run(task, video, audio, &name, &context.shared.encoders).await
        }
        Job::Output(OutputKind::Record(settings)) => {
            let root = context.shared.options.recordings.clone();
            record::run(task, context.stream, context.inputs, settings, root).await
        }
        Job::Output(OutputKind::Push { url }) if url.starts_with("srt:") => {
            egress::srt::run(task, context.inputs, &url).await
        }
        Job::Output(OutputKind::Push { url }) => egress::rtmp::run(task, context.inputs, url).await,
        Job::Output(OutputKind::Trunk(settings)) => {
            let config = context.shared.options.webrtc.clone();
            let codecs = Arc::new(Studio(context.shared.best_encoders.clone()));
            let trunk = egress::trunk::Trunk { settings, config, codecs };
            egress::trunk::run(task, context.inputs, trunk).await
        }
        Job::Hls | Job::HlsH264 => {
            let shelf = context.shelf.ok_or_else(|| Error::build("HLS", "it has no shelf"))?;
            let settings = *shelf.settings();
            match job {
                Job::HlsH264 => hls::run_h264(task, context.inputs, shelf, settings).await,
                _ => hls::run(task, context.inputs, shelf, settings).await,
            }
        }
        Job::Thumbnail => {
            let entry = context.shared.entry(&context.stream);
            let (Some(video), Some(entry)) = (context.inputs.video.take(), entry) else {
                return Err(Error::build("thumbnail", "the stream is gone"));
            };
            thumbnail::run(task, video, entry.thumbnail).await
        }
    }
}

async fn pull(source: SourceSpec, context: Launch) -> Result<(), Error> {
    let Some(intake) = context.intake else {
        return Err(Error::build("source", "it has no place in the stream"));
    };
    // Stopping the worker also disconnects the publisher.
    let (stop, place) = (context.task.cancel.clone(), intake.cancel.clone());
    let forward = tokio::spawn(async move {
        stop.cancelled().await;
        place.cancel();
    });
    let status = context.task.status.clone();
    // A file is running once it is opened. Every other source is running while it connects.
    if !matches!(source, SourceSpec::File { .. }) {
        status.set_running();
    }
    let outcome = match source {
        SourceSpec::Publish => Err(Error::build("source", "it is published, not pulled")),
        SourceSpec::Srt { url, passphrase } => {
            ingress::srt::pull::run(intake, &url, passphrase.map(Secret::new)).await
        }
        SourceSpec::Rtsp { url } => ingress::rtsp::run(intake, &url).await,
        SourceSpec::File { path } => {
            let config = &context.shared.options.sources;
            ingress::file::run(intake, path.as_ref(), config, || status.set_running()).await
        }
        SourceSpec::Test => ingress::test::run(intake).await,
        SourceSpec::Demo => ingress::demo::run(intake).await,
        SourceSpec::Stream { name } => match super::gate::relay(&context.shared, &name).await {
            Ok(seat) => ingress::relay::run(intake, seat).await,
            Err(refusal) => {
                Err(Error::refused(crate::flow::Blame::Input, refusal.message, refusal.hint))
            }
        },
    };
    forward.abort();
    outcome
}
