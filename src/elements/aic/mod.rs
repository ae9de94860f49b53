//! The voice codec AIC-A, `auralinkaicenc` and `auralinkaicdec`, and its transport in RTP:
//! `rtpaicpay`, `rtpaicdepay` and the header extension `rtphdrextaichints`.
//!
//! ```text
//! audio/x-raw ─ auralinkaicenc ─ audio/x-aic ─ rtpaicpay ─ application/x-rtp … rtpaicdepay ─
//!     audio/x-aic ─ auralinkaicdec ─ audio/x-raw
//! ```
//!
//! One buffer of `audio/x-aic, rate=16000, channels=1, model=<8 hexadecimal digits>` is one payload
//! of `docs/aic-rtp.md`: frames of AIC-A or an embedded Opus packet. The elements are always
//! registered: without the engine the encoder sends Opus and reports why.

use gst::glib;
use gst::prelude::*;

mod dec;
mod depay;
mod enc;
mod enc_core;
mod hints;
mod pay;
mod properties;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use crate::aic::hints::URI as HINTS_URI;

glib::wrapper! {
    /// The encoder: any rate and format in, payloads out. A bin around [`AicEncCore`].
    pub struct AicEnc(ObjectSubclass<enc::AicEnc>) @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

glib::wrapper! {
    /// The encoder itself: F32LE, 48 kHz, 1 or 2 channels in.
    pub struct AicEncCore(ObjectSubclass<enc_core::AicEncCore>)
        @extends gst::Element, gst::Object;
}

glib::wrapper! {
    /// The decoder: payloads in, F32LE at 48 kHz out.
    pub struct AicDec(ObjectSubclass<dec::AicDec>) @extends gst::Element, gst::Object;
}

glib::wrapper! {
    /// The payloader.
    pub struct AicPay(ObjectSubclass<pay::AicPay>)
        @extends gst_rtp::RTPBasePayload, gst::Element, gst::Object;
}

glib::wrapper! {
    /// The depayloader.
    pub struct AicDepay(ObjectSubclass<depay::AicDepay>)
        @extends gst_rtp::RTPBaseDepayload, gst::Element, gst::Object;
}

glib::wrapper! {
    /// The header extension `aic-hints`.
    pub struct AicHints(ObjectSubclass<hints::AicHints>)
        @extends gst_rtp::RTPHeaderExtension, gst::Element, gst::Object;
}

/// Name of the encoder's element message for a change of codec: `codec` (string, `aic` or `opus`),
/// `reason` (string: `not-there`, `starting`, `late`, `content` or `asked`),
/// `detail` (string).
pub const CODEC: &str = "aic-codec";

/// Name of the decoder's element message when AIC-A packets can no longer be decoded, with `reason`
/// (string: `not-there`, `starting`, `late`, `checksum`, `model`) and `detail` (string). The
/// application should then ask the sender for Opus.
pub const UNAVAILABLE: &str = "aic-unavailable";

/// Name of the decoder's element message when they can be decoded again.
pub const AVAILABLE: &str = "aic-available";

/// Name of the buffer meta that carries hints: see [`HINTS_URI`].
pub const HINTS: &str = "auralink-aic-hints";

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::Rank;
    let register = |name, rank, type_| gst::Element::register(Some(plugin), name, rank, type_);
    register("auralinkaicenc", Rank::NONE, AicEnc::static_type())?;
    register("auralinkaicenccore", Rank::NONE, AicEncCore::static_type())?;
    register("auralinkaicdec", Rank::SECONDARY, AicDec::static_type())?;
    register("rtpaicpay", Rank::SECONDARY, AicPay::static_type())?;
    register("rtpaicdepay", Rank::SECONDARY, AicDepay::static_type())?;
    // GStreamer creates header extensions of this rank by their URI.
    register("rtphdrextaichints", Rank::PRIMARY, AicHints::static_type())?;
    if !gst::meta::CustomMeta::is_registered(HINTS) {
        gst::meta::CustomMeta::register_simple(HINTS);
    }
    Ok(())
}

/// Caps of payloads; without `model` of any.
fn aic_caps(model: Option<&str>) -> gst::Caps {
    gst::Caps::builder("audio/x-aic")
        .field("rate", crate::aic::RATE_HZ as i32)
        .field("channels", 1)
        .field_if_some("model", model)
        .build()
}

fn raw_caps() -> gst::Caps {
    gst_audio::AudioCapsBuilder::new_interleaved()
        .format(gst_audio::AudioFormat::F32le)
        .rate(crate::aic::fallback::WIDE_RATE_HZ as i32)
        .channels_range(1..=2)
        .build()
}

fn template(name: &str, way: gst::PadDirection, caps: &gst::Caps) -> gst::PadTemplate {
    gst::PadTemplate::new(name, way, gst::PadPresence::Always, caps)
        .expect("name, direction and caps are valid")
}

/// Duration of this number of 20 ms frames.
fn frames(count: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(20) * count
}

/// Duration of this number of samples at 48 kHz.
fn wide(samples: usize) -> gst::ClockTime {
    let rate = crate::aic::fallback::WIDE_RATE_HZ as u64;
    gst::ClockTime::SECOND.mul_div_round(samples as u64, rate).unwrap_or_default()
}
