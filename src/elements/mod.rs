//! Our own GStreamer elements: one folder each; `mod.rs` has the wrapper, `imp.rs` the behaviour.
//!
//! The binary registers them statically with [`register`]. The same library loads as a plugin for
//! `gst-inspect-1.0` and `gst-launch-1.0`:
//!
//! ```text
//! mkdir -p target/plugins && cp target/debug/libauralink.so target/plugins/
//! GST_PLUGIN_PATH=target/plugins gst-inspect-1.0 auralinkdenoise
//! ```
//!
//! Invariant: pads, properties and events only; the algorithms are in `speech`, `captions` and
//! `aic`, which are independent of GStreamer.

use std::sync::OnceLock;

pub mod aic;
pub mod caption;
pub mod denoise;
pub mod loas;
pub mod transcribe;

/// Registers our elements with GStreamer, which must be initialised. Repeated calls are cheap.
///
/// # Errors
/// If GStreamer refuses them, which indicates a broken registry.
pub fn register() -> Result<(), gst::glib::BoolError> {
    static DONE: OnceLock<Result<(), gst::glib::BoolError>> = OnceLock::new();
    DONE.get_or_init(plugin::plugin_register_static).clone()
}

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    aic::register(plugin)?;
    denoise::register(plugin)?;
    caption::register(plugin)?;
    loas::register(plugin)?;
    transcribe::register(plugin)
}

/// The symbols that GStreamer looks for in a plugin file. The macro generates them without docs.
#[allow(missing_docs, unreachable_pub)]
mod plugin {
    use super::plugin_init;

    gst::plugin_define!(
        auralink,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        env!("CARGO_PKG_VERSION"),
        "Apache 2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "https://auralink.invalid",
        "2026-01-01"
    );
}
