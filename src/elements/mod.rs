//! Our own GStreamer elements: one folder each, `mod.rs` wraps and `imp.rs` behaves.
//!
//! The binary registers them statically with [`register`]. The same library loads as a plugin, so
//! that `gst-inspect-1.0` and `gst-launch-1.0` know them:
//!
//! ```text
//! mkdir -p target/plugins && cp target/debug/libauralink.so target/plugins/
//! GST_PLUGIN_PATH=target/plugins gst-inspect-1.0 auralinkdenoise
//! ```
//!
//! Invariant: pads, properties and events only; the algorithms lie in `speech`, `captions` and `aic`,
//! which know nothing of GStreamer.

use std::sync::OnceLock;

pub mod aic;
pub mod caption;
pub mod denoise;
pub mod loas;
pub mod transcribe;

/// Makes our elements known to GStreamer, which must be running. More calls are free.
///
/// # Errors
/// When GStreamer refuses them, which it does only when something is wrong with its registry.
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

/// What GStreamer looks for in a plugin file. The macro documents nothing of what it makes.
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
