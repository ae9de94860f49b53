//! `auralinkdenoise`: noise suppression for raw audio of any rate and format.
//!
//! Two elements: `auralinkdenoisecore` works on 48 kHz floats; `auralinkdenoise` is a bin around it
//! that converts and resamples any input, at no extra cost if nothing has to be converted.

use gst::glib;
use gst::prelude::*;

mod core;
mod imp;
mod properties;
#[cfg(test)]
mod tests;

glib::wrapper! {
    /// The bin: any rate and format in and out.
    pub struct Denoise(ObjectSubclass<imp::Denoise>) @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

glib::wrapper! {
    /// The element inside: F32LE, 48 kHz, 1 or 2 channels.
    pub struct DenoiseCore(ObjectSubclass<core::DenoiseCore>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Name of the element message and of the buffer meta that carry the speech probability.
///
/// The message is posted at most every 100 ms of audio, with the fields `probability` (double,
/// 0.0-1.0), `running-time` (uint64, nanoseconds), `engine` (string, the one that is heard: `dfn3` or
/// `rnnoise`), `fallbacks` (uint64, how often RNNoise took over because DeepFilterNet was late) and,
/// once known, `noise-dbfs` (double), `real-time-factor` (double, of DeepFilterNet) and `off` (string,
/// why DeepFilterNet is not there although it is wanted). The meta is on every buffer, with the field
/// `probability`.
pub const SPEECH: &str = "auralink-speech";

/// The engine, as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AuralinkDenoiseEngine")]
pub enum DenoiseEngine {
    /// DeepFilterNet 3 where it is installed, else RNNoise.
    #[default]
    #[enum_value(name = "DeepFilterNet 3 where it is installed, else RNNoise", nick = "auto")]
    Auto,
    /// DeepFilterNet 3.
    #[enum_value(name = "DeepFilterNet 3; RNNoise while it is missing or late", nick = "dfn3")]
    Dfn3,
    /// RNNoise.
    #[enum_value(name = "RNNoise", nick = "rnnoise")]
    Rnnoise,
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let register = |name, type_| gst::Element::register(Some(plugin), name, gst::Rank::NONE, type_);
    register("auralinkdenoise", Denoise::static_type())?;
    register("auralinkdenoisecore", DenoiseCore::static_type())?;
    if !gst::meta::CustomMeta::is_registered(SPEECH) {
        gst::meta::CustomMeta::register_simple(SPEECH);
    }
    Ok(())
}
