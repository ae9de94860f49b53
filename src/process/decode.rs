//! Decodes compressed media to raw media.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use tokio::sync::watch;

use super::SOURCE;
use super::key_frames;
use super::node::{MediaContext, MediaNode};
use crate::flow::decoding::{DECODER, Decoding, tune};
use crate::flow::{Blame, Error, Feed, Join, Node, Task, Writer};
use crate::media::{Codec, Format, Kind};

/// Longest time in which a decoder catches up with its first GOP without output; then it outputs
/// frames even if they are late.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// Whether this machine can decode a codec.
pub fn can_decode(codec: Codec) -> bool {
    Decoding::of(codec).is_ok()
}

/// Decodes any codec of `input` into `output` until cancelled: video to I420, audio to F32LE at 48
/// kHz, mono or stereo. A change of codec starts another decoder. Broken frames are skipped; a
/// decoder that fails on them is replaced, beginning at the next key frame. Reports `decoder`.
///
/// # Errors
/// When no decoder is installed, or one fails before it has decoded anything.
pub async fn run(task: Task, input: Feed, output: Writer) -> Result<(), Error> {
    let mut formats = input.format();
    // A decoder starts with the frames since the last key frame, so that it has output at once.
    // After a failure it does not: the frame that it failed on is among them.
    let mut join = Join::FastForward;
    loop {
        let Some(format) = wait_for_format(&task, &mut formats).await else { return Ok(()) };
        let codec = format.codec;
        let node = build(&task, codec)?;
        node.output("out", &output)?;
        super::report_first_buffer(&node, "out", &task.status)?;
        let shown = shown(&node)?;
        if codec.kind() == Kind::Video {
            node.input("in", &input, join)?;
            if !codec.is_raw() {
                hide_backlog(&node)?;
                key_frames::mark(&node.element(DECODER)?)?;
            }
        }
        node.start().await?;
        // An appsrc loses data during its change to PLAYING: a video decoder has more frames
        // anyway.
        match (codec.kind(), join) {
            (Kind::Video, _) => {}
            (Kind::Audio, Join::FastForward) => super::input_with_past(&node, &input, &output)?,
            (Kind::Audio, _) => node.input("in", &input, join)?,
        }
        let outcome = tokio::select! {
            () = wait_for_another(&mut formats, codec) => None,
            ended = node.run(&task.cancel) => Some(ended),
        };
        if let Some(Ok(())) = outcome {
            super::finish(&node, &input).await;
        }
        node.stop().await?;
        join = Join::FastForward;
        match outcome {
            None => tracing::info!(node = %task.name, was = %codec, "decoding another codec"),
            Some(Err(error))
                if error.blame() == Blame::Input && shown.load(Ordering::Relaxed) > 0 =>
            {
                tracing::warn!(node = %task.name, %error, "the decoder gave up and starts anew");
                join = Join::Live;
            }
            Some(ended) => return ended,
        }
    }
}

/// Counts the decoder's output buffers.
fn shown(node: &Node) -> Result<Arc<AtomicU64>, Error> {
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let pad = node.element(DECODER)?.static_pad("src");
    let pad = pad.ok_or_else(|| Error::build("decoder", "it has no pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    Ok(count)
}

async fn wait_for_format(
    task: &Task,
    formats: &mut watch::Receiver<Option<Format>>,
) -> Option<Format> {
    tokio::select! {
        () = task.cancel.cancelled() => None,
        found = formats.wait_for(Option::is_some) => found.ok().and_then(|format| format.clone()),
    }
}

/// Returns when the feed carries another codec; never during a mere pause.
async fn wait_for_another(formats: &mut watch::Receiver<Option<Format>>, now: Codec) {
    let other = |f: &Option<Format>| f.as_ref().is_some_and(|f| f.codec != now);
    if formats.wait_for(other).await.is_err() {
        // The feed is gone and this node has no purpose: its supervisor cancels it.
        std::future::pending::<()>().await;
    }
}

fn build(task: &Task, codec: Codec) -> Result<Node, Error> {
    let Decoding { factory, description } = Decoding::of(codec)?;
    let node = Node::parse(&task.name, &format!("{SOURCE} ! {description} ! appsink name=out"))?;
    tune(&node.element(DECODER)?);
    task.status.set("decoder", factory);
    Ok(node)
}

/// Drops decoded frames while frames before the live edge are still queued: they are needed to
/// decode the next ones, but viewers should not see them in fast motion.
fn hide_backlog(node: &Node) -> Result<(), Error> {
    let source = node.element("in")?;
    let decoder = node.element(DECODER)?;
    let pad = decoder.static_pad("src").ok_or_else(|| Error::build("decoder", "no pad"))?;
    let source =
        source.downcast::<gst_app::AppSrc>().map_err(|_| Error::build("in", "no appsrc"))?;
    let source = source.downgrade();
    let until = Instant::now() + CATCH_UP_MAX;
    let hidden = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let queued = source.upgrade().map_or(0, |source| source.current_level_buffers());
        if queued > 0 && Instant::now() < until {
            hidden.fetch_add(1, Ordering::Relaxed);
            return gst::PadProbeReturn::Drop;
        }
        tracing::debug!(frames = hidden.load(Ordering::Relaxed), "caught up with the live edge");
        gst::PadProbeReturn::Remove
    });
    Ok(())
}

/// Decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Decode;

impl MediaNode for Decode {
    fn describe(&self) -> String {
        "decode".into()
    }

    async fn run(self, context: MediaContext) -> Result<(), Error> {
        run(context.task, context.input, context.output).await
    }
}

#[cfg(test)]
mod tests;
