//! `auralinkfanout`: the end of a pipeline that many WebRTC viewers watch. The same RTP packets go to
//! all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

mod door;
mod imp;
mod starts;
#[cfg(test)]
mod tests;

use auralink_sfu::Source;

/// Least time between two key frame requests, whatever the number of viewers.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

glib::wrapper! {
    /// The element.
    pub struct FanOutSink(ObjectSubclass<imp::FanOutSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

impl FanOutSink {
    /// An element without viewers.
    pub(super) fn new() -> Self {
        glib::Object::new()
    }

    /// Where viewers get its packets.
    pub(super) fn source(&self) -> &Source {
        self.imp().source()
    }

    /// A flag that is to be set before the first packet with which decoding can start: from now on the
    /// element does not look for such packets itself. Feeds know more of them, such as recovery
    /// points.
    pub(super) fn told_starts(&self) -> Arc<AtomicBool> {
        self.imp().told_starts()
    }
}

/// Passes key frame requests of viewers on. Requests that come soon after another wait, and count as
/// one: none is lost.
pub(super) async fn pass_requests(source: &Source, request_keyframe: impl Fn()) -> Infallible {
    loop {
        source.keyframe_wanted().await;
        request_keyframe();
        tokio::time::sleep(KEYFRAME_INTERVAL).await;
    }
}

/// Registers the element with a plugin.
///
/// # Errors
/// If GStreamer refuses it.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let type_ = FanOutSink::static_type();
    gst::Element::register(Some(plugin), "auralinkfanout", gst::Rank::NONE, type_)
}
