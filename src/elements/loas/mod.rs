//! `auralinkloasparse`: AAC in LATM, cut into its LOAS frames.
//!
//! `aacparse` of GStreamer 1.22 leaves out every frame between the first two that carry a
//! configuration: with senders that repeat it twice a second, half a second of sound.

use gst::glib;
use gst::prelude::*;

mod imp;
mod stream_mux;
#[cfg(test)]
mod tests;

glib::wrapper! {
    /// The element.
    pub struct LoasParse(ObjectSubclass<imp::LoasParse>)
        @extends gst_base::BaseParse, gst::Element, gst::Object;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let type_ = LoasParse::static_type();
    gst::Element::register(Some(plugin), "auralinkloasparse", gst::Rank::NONE, type_)
}
