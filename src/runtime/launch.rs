//! Turns a job into a running node: the one place that knows every protocol and process.

use std::sync::Arc;

use tokio::sync::watch;

use super::job::Job;
use super::shared::Shared;
use super::trunk_encoders::TrunkEncoders;
use super::{OutputKind, admission};
use crate::egress::{self, hls, record, thumbnail};
use crate::flow::{CueFeed, Error, Feed, Inputs, Intake, Task, Writer};
use crate::ingress::SourceSpec;
use crate::ingress::source::SourceContext;
use crate::media::{Format, StreamName};
use crate::process::encoders::Encoder;
use crate::process::{decode, denoise, embed, encode, slate, speak, transcribe, translate};

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
    pub(super) segment_store: Option<Arc<hls::SegmentStore>>,
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
pub(super) async fn run(job: Job, context: Launch) -> Result<(), Error> {
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
        Job::Transcribe(settings) => transcribe(settings, context).await,
        Job::Translate(settings) => translate(settings, context).await,
        Job::Embed(settings) => {
            let (input, output) = context.process()?;
            embed::run(task, input, context.words, output, settings).await
        }
        Job::Speak(settings) => {
            let Some(words) = context.words.first().cloned() else { return Err(gone(&task)) };
            let voices = Arc::clone(&context.shared.speech.voices);
            let (input, output) = context.process()?;
            speak::run(task, input, words, output, voices, settings).await
        }
        Job::Slate => slate(context).await,
        Job::Output(kind) => output(kind, context).await,
        Job::Hls | Job::HlsH264 => {
            let segment_store = context
                .segment_store
                .ok_or_else(|| Error::build("HLS", "it has no segment store"))?;
            let settings = *segment_store.settings();
            match job {
                Job::HlsH264 => hls::run_h264(task, context.inputs, segment_store, settings).await,
                _ => hls::run(task, context.inputs, segment_store, settings).await,
            }
        }
        Job::Thumbnail => {
            let entry = context.shared.entry(&context.stream);
            let (Some(video), Some(entry)) = (context.inputs.video, entry) else {
                return Err(Error::build("thumbnail", "the stream is gone"));
            };
            thumbnail::run(task, video, entry.thumbnail).await
        }
        Job::Archive { days } => match context.shared.speech.cue_sink.clone() {
            Some(cue_sink) => {
                let captions = context.inputs.captions;
                egress::archive::run(task, context.stream, captions, cue_sink, days).await
            }
            None => Err(Error::build("archive", "this appliance keeps no words")),
        },
    }
}

async fn transcribe(settings: transcribe::Settings, context: Launch) -> Result<(), Error> {
    let task = context.task;
    let Some(output) = context.captions else { return Err(gone(&task)) };
    let Some(input) = context.inputs.audio else {
        transcribe::stand_by(task).await;
        return Ok(());
    };
    let engines = Arc::clone(&context.shared.speech.stt);
    transcribe::run(task, input, output, engines, settings).await
}

async fn translate(settings: translate::Settings, context: Launch) -> Result<(), Error> {
    let task = context.task;
    let input = context.words.first().cloned();
    let (Some(input), Some(output)) = (input, context.captions) else { return Err(gone(&task)) };
    let translators = Arc::clone(&context.shared.speech.translators);
    translate::run(task, input, output, translators, settings).await
}

async fn slate(context: Launch) -> Result<(), Error> {
    let [video, audio] = context.programme.map(|(feed, format)| {
        let writer = feed.writer(None);
        format.map(|format| {
            writer.activate();
            (writer, format)
        })
    });
    let name = context.stream.to_string();
    slate::run(context.task, video, audio, &name, &context.shared.encoders).await
}

/// Records, pushes, or sends a trunk.
async fn output(kind: OutputKind, context: Launch) -> Result<(), Error> {
    let Launch { task, inputs, shared, .. } = context;
    match kind {
        OutputKind::Record(settings) => {
            let root = shared.options.recordings.clone();
            record::run(task, context.stream, inputs, settings, root).await
        }
        OutputKind::Push { url } if url.starts_with("srt:") => {
            egress::srt::run(task, inputs, &url).await
        }
        OutputKind::Push { url } => egress::rtmp::run(task, inputs, url).await,
        OutputKind::Trunk(settings) => {
            let config = shared.options.webrtc.clone();
            let codecs = Arc::new(TrunkEncoders(shared.best_encoders.clone()));
            let trunk = egress::trunk::Trunk { settings, config, codecs };
            egress::trunk::run(task, inputs, trunk).await
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
    let streams = Arc::new(admission::Relays(Arc::clone(&context.shared)));
    let files = context.shared.options.sources.clone();
    let status = context.task.status.clone();
    let outcome = source.run(SourceContext { intake, status, files, streams }).await;
    forward.abort();
    outcome
}
