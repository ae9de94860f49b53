//! `auralinktranscribe`: speech in, timed text out.
//!
//! [`crate::speech::stt::Transcriber`] does the work. The property names are those of the
//! transcribers in gst-plugins-rs, so that the element can replace them in a pipeline.
//!
//! It is meant for other pipelines, as a plugin. A stream of the appliance feeds its transcriber
//! directly (`process::transcribe`), because its captions go to feeds of cues, not of buffers.

use gst::glib;
use gst::prelude::*;

mod imp;
mod output;
mod properties;
#[cfg(test)]
mod tests;

glib::wrapper! {
    /// The element.
    pub struct Transcribe(ObjectSubclass<imp::Transcribe>) @extends gst::Element, gst::Object;
}

/// Name of the element message for each cue, partial ones too, with the fields `cue` (string, JSON
/// of [`crate::media::Cue`]) and `committed` (boolean).
pub const CUE: &str = "auralink-cue";

/// Name of the element message for changes of the engine, with the fields `state` (`starting`,
/// `listening`, `off` or `switched`), `engine` and `why` (strings, if applicable).
pub const ENGINE: &str = "auralink-engine";

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let type_ = Transcribe::static_type();
    gst::Element::register(Some(plugin), "auralinktranscribe", gst::Rank::NONE, type_)
}
