//! The sound of a feed as the voice codec takes it, for recordings and for pages.

use std::sync::Arc;
use std::time::Duration;

use auralink_codec::Model;
use gst::prelude::*;

use crate::aic::engine::Codec;
use crate::aic::weights::ModelId;
use crate::flow::{Blame, Error, Node};
use crate::media::{Accept, Codec as Format};

/// How long a voice waits for the weights, which are loaded once in a process.
pub(super) const WEIGHTS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Sound that reached the sink.
pub(super) struct Heard {
    /// Running time of its first sample.
    pub(super) at: Duration,
    /// 16 kHz, mono.
    pub(super) samples: Vec<f32>,
}

/// The sound that is taken.
pub(super) fn accept() -> Accept {
    Accept::any_of([Format::RawAudio])
}

/// The weights of this process and their id. `instead`: what to do without them.
///
/// # Errors
/// There are none.
pub(super) async fn weights(instead: &str) -> Result<(Arc<Model>, ModelId), Error> {
    let codec = Codec::shared();
    let load = move || codec.wait(WEIGHTS_WAIT_MAX).and_then(|()| codec.loaded_with_id());
    let loaded = tokio::task::spawn_blocking(load).await.map_err(|e| Error::build("AIC-A", e))?;
    loaded.map_err(|error| {
        let hint = format!("{instead}, or see `auralink doctor`");
        Error::refused(Blame::Us, error.to_string(), hint)
    })
}

/// A node whose `audio` gets the sound of a feed, and that passes it to `take`, on the thread that
/// brings it; [`gst::FlowError::Eos`] from there ends it.
///
/// # Errors
/// An element is missing.
pub(super) fn hear(
    name: &str,
    mut take: impl FnMut(Heard) -> Result<(), gst::FlowError> + Send + 'static,
) -> Result<Node, Error> {
    // A source that becomes live while it plays would never start.
    let node = Node::parse(
        name,
        "appsrc name=audio is-live=true format=time ! audioconvert ! audioresample \
         ! audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved \
         ! appsink name=out sync=false async=false wait-on-eos=false enable-last-sample=false",
    )?;
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
        take(Heard { at, samples: samples.collect() }).map(|()| gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    Ok(node)
}
