//! The RTP packets of one feed, made once for all viewers: `appsrc ! payloader ! auralinkfanout`.

use std::sync::atomic::Ordering;

use gst::prelude::*;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::payloader::payloader;
use super::sink::{FanOutSink, pass_requests};
use crate::flow::{Error, Feed, Join, Node};
use crate::media::{Codec, Kind};
use crate::webrtc::opus_sequence_gaps;
use auralink_sfu::Source;

/// Longest packet in bytes, with its header: fits every path with the encryption around it.
const PACKET_BYTES_MAX: u32 = 1200;

/// The packets of a feed in one codec. The pipeline stops on drop.
pub(super) struct FeedPackets {
    feed: Feed,
    codec: Codec,
    source: Source,
    failed: CancellationToken,
    _stop: DropGuard,
}

impl FeedPackets {
    /// Starts the pipeline of a feed.
    ///
    /// # Errors
    /// If the payloader is missing.
    pub(super) fn start(name: &str, feed: &Feed, codec: Codec, join: Join) -> Result<Self, Error> {
        let node = Node::empty(format!("{name}.{}.{codec}", feed.name()));
        let source = build(&node, codec)?;
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let run = run(node, (feed.clone(), join), source.clone(), stop.clone());
        let over = failed.clone();
        tokio::spawn(async move {
            if let Err(error) = run.await {
                tracing::warn!(%error, "the packets of a feed end");
                over.cancel();
            }
        });
        let _stop = stop.drop_guard();
        Ok(Self { feed: feed.clone(), codec, source, failed, _stop })
    }

    /// Whether these are the packets of a feed in a codec, and still come.
    pub(super) fn are_of(&self, feed: &Feed, codec: Codec) -> bool {
        self.feed.same_as(feed) && self.codec == codec && !self.failed.is_cancelled()
    }

    /// Where viewers get them.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Waits until the pipeline fails.
    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }
}

async fn run(
    node: Node,
    (feed, join): (Feed, Join),
    source: Source,
    stop: CancellationToken,
) -> Result<(), Error> {
    node.start().await?;
    node.input("media", &feed, join)?;
    let result = tokio::select! {
        result = node.run(&stop) => result,
        never = pass_requests(&source, || feed.request_keyframe()) => match never {},
    };
    let stopped = node.stop().await;
    result.and(stopped)
}

/// Adds the elements; returns where viewers get the packets.
fn build(node: &Node, codec: Codec) -> Result<Source, Error> {
    let failed = |e: gst::glib::BoolError| Error::build(node.name(), e);
    let description = payloader(codec)
        .ok_or_else(|| Error::build(node.name(), format!("{codec} has no payloader")))?;
    let payloader = crate::webrtc::element(description)?;
    payloader.set_property("mtu", PACKET_BYTES_MAX);
    // Timestamps count from the zero of the clock that all feeds share, so that they go on when a
    // viewer moves to another feed. The type of this property differs between elements.
    payloader.set_property_from_str("timestamp-offset", "0");
    if codec == Codec::Opus {
        opus_sequence_gaps::keep(&payloader);
    }
    let entry = gst_app::AppSrc::builder().name("media").is_live(true);
    let entry = entry.format(gst::Format::Time).build();
    let sink = FanOutSink::new();
    node.pipeline()
        .add_many([entry.upcast_ref(), &payloader, sink.upcast_ref()])
        .map_err(failed)?;
    entry.link(&payloader).map_err(failed)?;
    payloader.link(&sink).map_err(failed)?;
    if codec.kind() == Kind::Video {
        tell_starts(&payloader, &sink);
    }
    Ok(sink.source().clone())
}

/// Tells the sink where decoding can start: when a key frame enters the payloader, whose packets follow
/// in the same thread. Not all payloaders mark them.
fn tell_starts(payloader: &gst::Element, sink: &FanOutSink) {
    let starts = sink.told_starts();
    let Some(entry) = payloader.static_pad("sink") else { return };
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info.buffer().is_some_and(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT)) {
            starts.store(true, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}
