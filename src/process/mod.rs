//! Processing of media between feeds.
//!
//! Each node is an `async fn run(task, …)` between a feed and a writer. Encoders are probed once,
//! by [`encoders::Encoders::probe`], and chosen by rank.
//!
//! Invariant: knows feeds and formats, but no protocol and no stream.

pub mod captions;
pub mod decode;
pub mod denoise;
pub mod embed;
pub mod encode;
pub mod encoder_probe;
mod encoder_settings;
pub mod encoders;
pub mod file_transcription;
mod key_frames;
mod mix;
pub mod node;
mod nodes;
mod resample;
mod sentences;
mod settings;
pub mod slate;
pub mod speak;
#[cfg(test)]
mod testing;
pub mod transcribe;
pub mod transfer;
pub mod translate;

pub use nodes::{NodeFeeds, ProcessNode};

use std::time::Duration;

use gst::prelude::*;

use crate::flow::{Error, Feed, Join, Node, RAW_AUDIO_KEPT, Status, Writer};
use crate::media::Kind;

/// An appsrc named `in` that a feed joins while its pipeline already plays.
const SOURCE: &str = "appsrc name=in is-live=true format=time";

/// Links the appsrc `in` of a node between two feeds. Raw video begins with all kept frames, audio
/// with the last seconds, which only consumers that begin in the past get.
fn input_with_past(node: &Node, input: &Feed, output: &Writer) -> Result<(), Error> {
    let join = match (input.kind(), input.newest()) {
        (Kind::Video, _) => Join::KeptFrom(gst::ClockTime::ZERO),
        (Kind::Audio, None) => Join::Live,
        (Kind::Audio, Some(newest)) => {
            output.past_until(newest);
            Join::Since(newest.saturating_sub(RAW_AUDIO_KEPT))
        }
    };
    node.input("in", input, join)
}

/// Time limit for a node to output its remaining data when its stream goes off air.
const FINISH_TIMEOUT: Duration = Duration::from_millis(500);

/// Ends a cancelled node: what its stream carried until it went off air is still processed.
async fn finish(node: &Node, input: &Feed) {
    if input.is_ending() {
        input.ended(FINISH_TIMEOUT).await;
        node.finish(FINISH_TIMEOUT).await;
    }
}

/// Reports a node as running when the first buffer reaches this sink.
fn report_first_buffer(node: &Node, sink: &str, status: &Status) -> Result<(), Error> {
    let element = node.element(sink)?;
    let pad = element.static_pad("sink").ok_or_else(|| Error::build(sink, "it has no pad"))?;
    let status = status.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        status.set_running();
        gst::PadProbeReturn::Remove
    });
    Ok(())
}
