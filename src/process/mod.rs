//! What is done to media between feeds.
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
pub mod encoders;
mod mix;
mod recipes;
mod resample;
mod sentences;
pub mod slate;
pub mod speak;
#[cfg(test)]
mod testing;
pub mod transcribe;
pub mod translate;
pub mod trial;
pub mod written;

use std::time::Duration;

use gst::prelude::*;

use crate::flow::{Error, Feed, Join, Node, Status, Writer};
use crate::media::Kind;

/// An appsrc named `in` that a feed may join when its pipeline already plays.
const SOURCE: &str = "appsrc name=in is-live=true format=time";

/// Sound of this long ago is made into what a node makes, so that a recording that has begun before
/// the node has its sound from the first picture on.
const PAST: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// Links the appsrc `in` of a node between two feeds. Raw pictures begin with what nobody has had
/// yet; sound with that of the last seconds, which only those get who begin in the past.
fn input_with_past(node: &Node, input: &Feed, output: &Writer) -> Result<(), Error> {
    let join = match (input.kind(), input.newest()) {
        (Kind::Video, _) => Join::KeptFrom(gst::ClockTime::ZERO),
        (Kind::Audio, None) => Join::Live,
        (Kind::Audio, Some(newest)) => {
            output.past_until(newest);
            Join::Since(newest.saturating_sub(PAST))
        }
    };
    node.input("in", input, join)
}

/// What a node has got when its stream goes off air comes out of it within this.
const FINISH_MAX: Duration = Duration::from_millis(500);

/// Ends a node that is told to: what its stream had until it went off air is still made.
async fn finish(node: &Node, input: &Feed) {
    if input.is_ending() {
        input.ended(FINISH_MAX).await;
        node.finish(FINISH_MAX).await;
    }
}

/// Says that a node is running when the first buffer reaches this sink of it.
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
