//! The one conversion from coded to raw media: for codecs that are decoded on input
//! ([`super::Tracks`]), for consumers that need a feed raw (`process::decode`), and for trunks that
//! encode again.

use gst::prelude::*;

use super::{Error, Framing};
use crate::media::{Codec, Kind};

/// Name of the decoder in a [`Decoding`].
pub const DECODER: &str = "decoder";

/// The elements that decode media to the raw form of feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoding {
    /// The decoder's factory.
    pub factory: &'static str,
    /// `parser ! decoder ! exit`, in `gst-launch-1.0` syntax; the decoder is named [`DECODER`] and
    /// must be [`tune`]d.
    pub description: String,
}

impl Decoding {
    /// Decodes a codec that feeds carry.
    ///
    /// # Errors
    /// [`Error::MissingElement`] if no decoder for it is installed.
    pub fn of(codec: Codec) -> Result<Self, Error> {
        let decoders = decoders(codec);
        let parser = Framing::Decoder.parser(codec);
        let decoding = parser.and_then(|parser| Self::with(codec.kind(), parser, decoders));
        decoding.ok_or_else(|| Error::MissingElement { factory: decoders[0].to_owned() })
    }

    /// Decodes with the first of these decoders that is installed; `None` if none is.
    pub(super) fn with(kind: Kind, parser: &str, decoders: &[&'static str]) -> Option<Self> {
        let factory = installed(decoders)?;
        let exit = Framing::raw(kind);
        let description = format!("{parser} ! {factory} name={DECODER} ! {exit}");
        Some(Self { factory, description })
    }
}

/// Decoders of a codec that feeds carry, best first.
fn decoders(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["avdec_h264", "openh264dec"],
        Codec::H265 => &["avdec_h265", "libde265dec"],
        Codec::Vp8 => &["vp8dec", "avdec_vp8"],
        Codec::Vp9 => &["vp9dec", "avdec_vp9"],
        Codec::Av1 => &["dav1ddec", "av1dec", "avdec_av1"],
        Codec::Aac => &["avdec_aac", "faad"],
        Codec::Opus => &["opusdec", "avdec_opus"],
        Codec::Mp2 => &["avdec_mp2float", "mpg123audiodec"],
        Codec::Mp3 => &["mpg123audiodec", "avdec_mp3"],
        Codec::RawVideo | Codec::RawAudio => &["identity"],
    }
}

/// The first of these element factories that this machine has.
pub fn installed(factories: &[&'static str]) -> Option<&'static str> {
    factories.iter().copied().find(|name| gst::ElementFactory::find(name).is_some())
}

/// Sets a decoder up for live media; other elements are left alone.
///
/// Threads work on slices of one picture: frame threads would delay each picture by as many frames
/// as there are threads. Broken packets are skipped without limit, and damaged pictures are shown
/// after packet loss: a frozen picture is worse.
pub fn tune(decoder: &gst::Element) {
    for (property, value) in
        [("thread-type", "slice"), ("max-errors", "-1"), ("output-corrupt", "true")]
    {
        if decoder.find_property(property).is_some() {
            decoder.set_property_from_str(property, value);
        }
    }
}
