//! AuraLink: an on-premises live-media appliance.
//!
//! The rooms, in the order media flows:
//!
//! - [`media`]: shared types: names, codecs, formats, time. Depends on nothing.
//! - [`flow`]: feeds and nodes, how media moves between pipelines.
//! - [`graph`]: preset to plan, pure.
//! - [`ingress`], [`process`], [`egress`]: the nodes, one file per protocol or job.
//! - [`webrtc`], [`srt`]: what ingress and egress of a protocol share.
//! - [`elements`]: our GStreamer elements; [`speech`] holds their algorithms, [`gpu`] the devices.
//! - [`aic`]: the neural voice codec, its packets and its files.
//! - [`captions`]: how cues are written: WebVTT, SubRip, JSON, CEA-608 and CEA-708.
//! - [`models`]: which weights exist, where they are stored and whether they are genuine.
//! - [`cluster`]: other appliances, whose streams are played here too.
//! - [`runtime`]: streams: which nodes run, and what happens when one fails.
//! - [`control`]: API, authentication, store and page.
//! - [`telemetry`], [`config`]: metrics and logs; the one file that configures everything.
//! - [`cli`]: the command line, which connects all rooms.
//!
//! Two crates beside it are optimised in every build: `auralink_codec`, what the voice codec computes, and
//! `auralink_sfu`, one packet to many WebRTC viewers.

pub mod aic;
pub mod captions;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod control;
pub mod egress;
pub mod elements;
pub mod flow;
pub mod gpu;
pub mod graph;
pub mod ingress;
pub mod media;
pub mod models;
pub mod mpegts;
pub mod onnx;
pub mod process;
pub mod runtime;
pub mod speech;
pub mod srt;
pub mod telemetry;
pub mod webrtc;

#[cfg(test)]
#[path = "../tests/support/needs.rs"]
mod needs;

#[cfg(test)]
#[path = "../tests/support/postgres.rs"]
mod test_postgres;

/// Starts GStreamer with our elements, and the clock that all pipelines share. Comes before anything
/// else; more calls are free.
///
/// # Errors
/// When GStreamer cannot start.
pub fn init() -> Result<(), gst::glib::Error> {
    static REGISTERED: std::sync::Once = std::sync::Once::new();
    gst::init()?;
    REGISTERED.call_once(|| {
        if let Err(error) = plugin::plugin_register_static() {
            tracing::error!(%error, "GStreamer refuses our elements");
        }
    });
    flow::start_clock();
    Ok(())
}

/// The symbols that GStreamer looks for in a plugin file. The macro generates them without docs.
#[allow(missing_docs, unreachable_pub)]
mod plugin {
    use crate::egress::whep;
    use crate::elements;

    fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
        elements::register(plugin)?;
        whep::sink::register(plugin)
    }

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

/// The fuzzer of the parsers, for the tests that lie beside them.
#[cfg(test)]
#[path = "../tests/fuzz/harness.rs"]
pub(crate) mod fuzz;
