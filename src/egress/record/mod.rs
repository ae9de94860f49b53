//! Records to fragmented MP4, which is playable after every half second even if the process dies, or
//! voice to `.aic` files ([`voice`]).
//!
//! Files are in `<recordings>/<stream>/`, named by their start time:
//! `2026-11-23T16-03-16.250Z.mp4`.

mod catalogue;
mod file;
mod format;
mod picture;
mod policy;
mod queue;
mod rotate;
mod scan;
mod settings;
mod sidecar;
mod thread;
mod voice;
mod wav;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use crate::egress::output::{OutputContext, StreamOutput};
use crate::egress::segments::fmp4::{self, Chunker, Source, Tapped};
use crate::flow::{Error, Inputs, Node, Task};
use crate::media::{Accepts, Kind, StreamName};

pub use catalogue::{Catalogue, CatalogueError, Entry, EntryState};
pub use format::Format;
pub use settings::Settings;
#[cfg(test)]
pub(crate) use wav::wav_header;
pub use wav::{VoiceWav, Wav, WavError};

use queue::Sender;
use thread::{FINISH_MAX, Output, ended_in_time, on_a_thread, stopped};
use writer::{State, Writer};

/// Duration of a fragment: the maximum loss if the process dies.
const FRAGMENT_DURATION: Duration = Duration::from_millis(500);

/// Key frames at least this far apart begin fragments, where files may be split.
const FRAGMENT_DISTANCE_MIN: Duration = Duration::from_secs(1);

/// How long the end of a recording waits for its last captions. Later ones are still written while
/// the appliance runs.
const CAPTIONS_WAIT_MAX: Duration = Duration::from_secs(2);

impl StreamOutput for Settings {
    fn shown(&self) -> String {
        "recordings".into()
    }

    fn accepts(&self) -> Accepts {
        self.format.accepts()
    }

    async fn run(self, context: OutputContext) -> Result<(), Error> {
        let OutputContext { task, stream, inputs, recordings, .. } = context;
        run(task, stream, inputs, self, recordings).await
    }
}

/// Records the feeds of a stream under `root` until the task is cancelled, then ends the last file
/// properly.
///
/// # Errors
/// [`Error::Refused`] with [`Blame::Destination`](crate::flow::Blame) if the folder cannot be
/// written or the disk is full; errors of the pipeline.
pub async fn run(
    task: Task,
    stream: StreamName,
    inputs: Inputs,
    settings: Settings,
    root: PathBuf,
) -> Result<(), Error> {
    let folder = root.join(stream.as_str());
    tokio::fs::create_dir_all(&folder).await.map_err(|e| writer::explain(&folder, "create", &e))?;
    let (begins, begun) = sidecar::channel();
    let captions = sidecar::write(inputs.captions.clone(), begun, task.status.clone());
    let captions = tokio::spawn(captions);
    let output = Output { folder, settings, status: task.status.clone(), begins };
    match settings.format {
        Format::Mp4 => run_mp4(&task, &stream, &inputs, output).await?,
        Format::Aic => voice::run(&task, &stream, &inputs, output).await?,
    }
    let _ = tokio::time::timeout(CAPTIONS_WAIT_MAX, captions).await;
    Ok(())
}

async fn run_mp4(
    task: &Task,
    stream: &StreamName,
    inputs: &Inputs,
    output: Output,
) -> Result<(), Error> {
    let mut from = gst::ClockTime::ZERO;
    while let Some(sources) = fmp4::settle(task, inputs).await {
        let node = fmp4::node(&task.name, &sources)?;
        let (sender, receiver) = queue::queue();
        for source in &sources {
            tap(&node, source.kind(), sender.clone())?;
        }
        drop(sender);
        let writer = Writer {
            output: output.clone(),
            expected: sources.iter().map(Source::kind).collect(),
            state: State::default(),
        };
        let mut written = on_a_thread(stream, move || writer.run(&receiver))?;
        fmp4::link(&node, &sources, from)?;
        node.start().await?;
        let result = tokio::select! {
            result = node.run(&task.cancel) => {
                fmp4::ended(&sources, FINISH_MAX).await;
                result.map(|()| true)
            }
            () = fmp4::changed(inputs, &sources) => Ok(false),
            result = &mut written => return stopped(&node, result).await,
        };
        from = fmp4::newest(&sources);
        node.finish(FINISH_MAX).await;
        // Dropping the pipeline drops the senders, which ends the queue.
        node.stop().await?;
        drop(node);
        ended_in_time(written).await?;
        if result? {
            break;
        }
    }
    Ok(())
}

fn tap(node: &Node, kind: Kind, mut sender: Sender) -> Result<(), Error> {
    let mut chunker: Option<Chunker> = None;
    fmp4::tap(node, kind.as_str(), move |tapped| {
        let chunk = match tapped {
            Tapped::Track(info) => {
                let rest = chunker.as_mut().and_then(Chunker::finish);
                rest.into_iter().for_each(|chunk| sender.chunk(kind, chunk));
                sender.track(info.clone());
                chunker = Some(Chunker::new(info, FRAGMENT_DURATION, FRAGMENT_DISTANCE_MIN));
                None
            }
            Tapped::Frame(frame) => chunker.as_mut().and_then(|c| c.push(frame)),
            Tapped::End => chunker.as_mut().and_then(Chunker::finish),
        };
        if let Some(chunk) = chunk {
            sender.chunk(kind, chunk);
        }
    })
}

#[cfg(test)]
mod tests;
