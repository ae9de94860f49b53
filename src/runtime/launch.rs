//! Makes a job run with what its stream has now.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::admission;
use super::job::Job;
use super::shared::Shared;
use super::trunk_encoders::TrunkEncoders;
use crate::egress::output::OutputContext;
use crate::egress::segments::{self, SegmentStore};
use crate::egress::{archive, thumbnail};
use crate::flow::{CueFeed, Error, Feed, Inputs, Intake, Task};
use crate::ingress::SourceSpec;
use crate::ingress::source::SourceContext;
use crate::media::{Format, StreamName};
use crate::process::node::Services;
use crate::process::{NodeFeeds, denoise, slate};

/// What one run of a node gets from its stream.
pub(super) struct Launch {
    pub(super) task: Task,
    pub(super) stream: StreamName,
    pub(super) shared: Arc<Shared>,
    pub(super) inputs: Inputs,
    /// The feed of video or audio that it fills.
    pub(super) media_output: Option<Feed>,
    /// Caption feeds that a process node reads.
    pub(super) captions: Vec<CueFeed>,
    /// The caption feed that it fills.
    pub(super) captions_output: Option<CueFeed>,
    /// Where a pulled source delivers its media.
    pub(super) intake: Option<Intake>,
    pub(super) denoise: watch::Receiver<denoise::Settings>,
    /// The stream's own feeds with their last formats.
    pub(super) programme: [(Feed, Option<Format>); 2],
    pub(super) segment_store: Option<Arc<SegmentStore>>,
}

/// The run of a job. `None` as long as something that it needs is not there.
pub(super) fn start(job: Job, launch: Launch) -> Option<BoxFuture<'static, Result<(), Error>>> {
    let Launch { task, stream, shared, inputs, .. } = launch;
    Some(match job {
        Job::Pull { source, .. } => pull(source, launch.intake?, task, shared).boxed(),
        Job::Process(node) => {
            let speech = &shared.speech;
            let services = Services {
                stt: Arc::clone(&speech.stt),
                translators: Arc::clone(&speech.translators),
                voices: Arc::clone(&speech.voices),
                encode: shared.options.encode.clone(),
                denoise: launch.denoise,
                deepfilternet: speech.deepfilternet.subscribe(),
            };
            let Launch { captions, media_output, captions_output, .. } = launch;
            node.start(NodeFeeds {
                task,
                inputs,
                captions,
                media_output,
                captions_output,
                services,
            })?
        }
        Job::Slate => play_slate(task, stream, launch.programme, shared).boxed(),
        Job::Output(output) => {
            let context = OutputContext {
                task,
                stream,
                inputs,
                recordings: shared.options.recordings.clone(),
                webrtc: shared.options.webrtc.clone(),
                encoders: Arc::new(TrunkEncoders(shared.best_encoders.clone())),
            };
            output.run(context).boxed()
        }
        Job::Segments => {
            let store = launch.segment_store?;
            let settings = *store.settings();
            segments::run(task, inputs, store, settings).boxed()
        }
        Job::SegmentsEncoded { id, .. } => {
            let store = launch.segment_store?;
            let settings = *store.settings();
            segments::run_encoded(task, id, inputs, store, settings).boxed()
        }
        Job::Thumbnail => {
            let entry = shared.entry(&stream)?;
            thumbnail::run(task, inputs.video?, entry.thumbnail).boxed()
        }
        Job::Archive { days } => {
            let sink = shared.speech.cue_sink.clone()?;
            archive::run(task, stream, inputs.captions, sink, days).boxed()
        }
    })
}

async fn play_slate(
    task: Task,
    stream: StreamName,
    programme: [(Feed, Option<Format>); 2],
    shared: Arc<Shared>,
) -> Result<(), Error> {
    let [video, audio] = programme.map(|(feed, format)| {
        let writer = feed.writer(None);
        format.map(|format| {
            writer.activate();
            (writer, format)
        })
    });
    slate::run(task, video, audio, stream.as_str(), &shared.encoders).await
}

async fn pull(
    source: SourceSpec,
    intake: Intake,
    task: Task,
    shared: Arc<Shared>,
) -> Result<(), Error> {
    // Stopping the worker also disconnects the publisher.
    let (stop, place) = (task.cancel.clone(), intake.cancel.clone());
    let forward = tokio::spawn(async move {
        stop.cancelled().await;
        place.cancel();
    });
    let streams = Arc::new(admission::Relays(Arc::clone(&shared)));
    let files = shared.options.sources.clone();
    let origins = Arc::clone(&shared.options.origins);
    let context = SourceContext { intake, status: task.status, files, streams, origins };
    let outcome = source.run(context).await;
    forward.abort();
    outcome
}
