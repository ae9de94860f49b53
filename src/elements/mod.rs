//! Our own GStreamer elements: one folder each; `mod.rs` has the wrapper, `imp.rs` the behaviour.
//!
//! The binary registers them statically, by [`init`](crate::init). The same library loads as a plugin
//! for `gst-inspect-1.0` and `gst-launch-1.0`:
//!
//! ```text
//! mkdir -p target/plugins && cp target/debug/libauralink.so target/plugins/
//! GST_PLUGIN_PATH=target/plugins gst-inspect-1.0 auralinkdenoise
//! ```
//!
//! Invariant: pads, properties and events only; the algorithms are in `speech`, `captions` and
//! `aic`, which are independent of GStreamer.

pub mod aic;
pub mod caption;
pub mod denoise;
pub mod loas;
pub mod transcribe;

/// Registers the elements of this room with a plugin.
///
/// # Errors
/// If GStreamer refuses them.
pub fn register(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    aic::register(plugin)?;
    denoise::register(plugin)?;
    caption::register(plugin)?;
    loas::register(plugin)?;
    transcribe::register(plugin)
}
