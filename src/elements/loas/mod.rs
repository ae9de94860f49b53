//! `auralinkloasparse`: AAC in LATM, cut into its LOAS frames.
//!
//! `aacparse` of GStreamer 1.22 drops every frame between the first two with a configuration: half
//! a second of audio if the sender repeats it twice a second.

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
