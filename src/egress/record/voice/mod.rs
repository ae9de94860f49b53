//! Records the voice of a stream by AIC-A: 16 kHz, mono, about 3 kbit/s (`docs/aic-rtp.md`, section 10).

mod file;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::time::Duration;

use gst::prelude::*;

use super::thread::{FINISH_MAX, Output, ended_in_time, on_a_thread, stopped};
use crate::aic::engine::Codec;
use crate::flow::{Blame, Error, Inputs, Join, Node, Task};
use crate::media::StreamName;

use writer::{Heard, Writer};

/// How long a recording waits for the weights, which are loaded once in a process.
pub(super) const WEIGHTS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Buffers between the pipeline and the disk: some seconds of sound, 64 kB for each.
const QUEUE_BUFFERS_MAX: usize = 256;

/// Records the audio of the inputs until the task is cancelled. Reports as other recordings do.
pub(super) async fn run(
    task: &Task,
    stream: &StreamName,
    inputs: &Inputs,
    output: Output,
) -> Result<(), Error> {
    let Some(feed) = inputs.audio.clone() else {
        task.cancel.cancelled().await;
        return Ok(());
    };
    let codec = Codec::shared();
    let load = move || codec.wait(WEIGHTS_WAIT_MAX).and_then(|()| codec.loaded_with_id());
    let loaded = tokio::task::spawn_blocking(load).await.map_err(|e| Error::build("AIC-A", e))?;
    let (model, id) = loaded.map_err(|error| {
        Error::refused(Blame::Us, error.to_string(), "record as mp4, or see `auralink doctor`")
    })?;
    let node = Node::parse(
        &task.name,
        "appsrc name=audio ! audioconvert ! audioresample \
         ! audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved \
         ! appsink name=out sync=false async=false wait-on-eos=false enable-last-sample=false",
    )?;
    let (sender, receiver) = mpsc::sync_channel(QUEUE_BUFFERS_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    tap(&node, sender, Arc::clone(&dropped))?;
    let writer = Writer::new(output, (model, id), dropped);
    let mut written = on_a_thread(stream, move || writer.run(&receiver))?;
    node.input("audio", &feed, Join::Since(gst::ClockTime::ZERO))?;
    node.start().await?;
    let result = tokio::select! {
        result = node.run(&task.cancel) => {
            feed.ended(FINISH_MAX).await;
            result
        }
        result = &mut written => return stopped(&node, result).await,
    };
    node.finish(FINISH_MAX).await;
    // Dropping the pipeline drops the sender, which ends the queue.
    node.stop().await?;
    drop(node);
    ended_in_time(written).await?;
    result
}

/// Passes the sink's audio to the writer. What it has no room for is lost, and counted.
fn tap(node: &Node, sender: mpsc::SyncSender<Heard>, dropped: Arc<AtomicU64>) -> Result<(), Error> {
    let sink = node.element("out")?;
    let sink = sink
        .downcast::<gst_app::AppSink>()
        .map_err(|_| Error::build(node.name(), "`out` is not an appsink"))?;
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let Some(buffer) = sample.buffer() else { return Ok(gst::FlowSuccess::Ok) };
        let at = sample
            .segment()
            .and_then(|s| s.downcast_ref::<gst::ClockTime>())
            .and_then(|s| s.to_running_time(buffer.pts()));
        let (Some(at), Ok(map)) = (at, buffer.map_readable()) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let samples = map.as_slice().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        let at = Duration::from_nanos(at.nseconds());
        match sender.try_send(Heard { at, samples: samples.collect() }) {
            Ok(()) => Ok(gst::FlowSuccess::Ok),
            Err(TrySendError::Full(_)) => {
                dropped.fetch_add(1, Ordering::Relaxed);
                Ok(gst::FlowSuccess::Ok)
            }
            Err(TrySendError::Disconnected(_)) => Err(gst::FlowError::Eos),
        }
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    Ok(())
}

#[cfg(test)]
mod tests;
