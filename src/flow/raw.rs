//! The one conversion from coded to raw media: for codecs that are decoded on input
//! ([`super::Tracks`]) and for consumers that need a feed raw (`process::decode`).

use gst::prelude::*;

use crate::media::Kind;

/// Elements after a decoder that make all raw media alike: progressive I420 video, because encoders
/// and web players take no fields, and F32LE audio at 48 kHz, mono or stereo.
pub fn exit(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => {
            "deinterlace mode=auto fields=top ! videoconvert \
             ! capsfilter caps=\"video/x-raw,format=I420\""
        }
        Kind::Audio => {
            "audioconvert ! audioresample ! capsfilter caps=\"audio/x-raw,format=F32LE,rate=48000,\
             channels=[1,2],layout=interleaved\""
        }
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
