//! `auralinkdenoise`: noise suppression for raw audio of any rate and format.
//!
//! Two elements: `auralinkdenoisecore` works on 48 kHz floats; `auralinkdenoise` is a bin around it
//! that converts and resamples any input, at no extra cost if nothing has to be converted.

use gst::glib;
use gst::prelude::*;

mod core;
mod imp;
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
/// 0.0-1.0), `running-time` (uint64, nanoseconds) and, once known, `noise-dbfs` (double). The meta
/// is on every buffer, with the field `probability`.
pub const SPEECH: &str = "auralink-speech";

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let register = |name, type_| gst::Element::register(Some(plugin), name, gst::Rank::NONE, type_);
    register("auralinkdenoise", Denoise::static_type())?;
    register("auralinkdenoisecore", DenoiseCore::static_type())?;
    if !gst::meta::CustomMeta::is_registered(SPEECH) {
        gst::meta::CustomMeta::register_simple(SPEECH);
    }
    Ok(())
}

/// The properties of both elements; all but the last may change while playing. Each class needs
/// its own, because a ParamSpec belongs to one class.
fn properties() -> Vec<glib::ParamSpec> {
    let defaults = crate::speech::denoise::Strength::default();
    vec![
        glib::ParamSpecBoolean::builder("enabled")
            .nick("Enabled")
            .blurb("Off passes the sound through untouched, at the same latency")
            .default_value(defaults.enabled)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("mix")
            .nick("Mix")
            .blurb("Share of the cleaned sound in the output")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(defaults.mix)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("max-attenuation-db")
            .nick("Maximum attenuation")
            .blurb("Noise is lowered by at most this much, in dB")
            .minimum(0.0)
            .maximum(100.0)
            .default_value(defaults.max_attenuation_db)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("speech-probability")
            .nick("Speech probability")
            .blurb("How likely the last 10 ms hold speech")
            .minimum(0.0)
            .maximum(1.0)
            .read_only()
            .build(),
    ]
}
