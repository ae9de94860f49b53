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

use gst::prelude::*;

use crate::flow::{Error, Node, Status};

/// An appsrc named `in` that a feed may join when its pipeline already plays.
const SOURCE: &str = "appsrc name=in is-live=true format=time";

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
