//! Records the voice of a stream by AIC-A: 16 kHz, mono, about 3 kbit/s (`docs/aic-rtp.md`, section 10).

mod file;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, TrySendError};

use super::thread::{FINISH_MAX, Output, ended_in_time, on_a_thread, stopped};
use crate::egress::heard::{hear, weights};
use crate::flow::{Error, Inputs, Join, Task};
use crate::media::StreamName;

use writer::Writer;

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
    let model = weights("record as mp4").await?;
    let (sender, receiver) = mpsc::sync_channel(QUEUE_BUFFERS_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    // What the queue has no room for is lost, and counted.
    let lost = Arc::clone(&dropped);
    let node = hear(&task.name, move |heard| match sender.try_send(heard) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(_)) => {
            lost.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Err(TrySendError::Disconnected(_)) => Err(gst::FlowError::Eos),
    })?;
    let writer = Writer::new(output, model, dropped);
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

#[cfg(test)]
mod tests;
