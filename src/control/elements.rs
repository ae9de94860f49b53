//! The GStreamer elements that the code names, and the feature that each provides.
//!
//! Invariant: the table lists exactly the elements that the code names; a test reads the code.

use serde::Serialize;

use crate::ingress::rist;

/// When the absence of an element matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The appliance does not work without it.
    Always,
    /// A feature is off without it.
    Feature,
    /// It replaces this other element where that one is missing.
    Unless(&'static str),
}

use Need::{Always as ALWAYS, Feature as FEATURE};

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";
const NICE: &str = "gstreamer1.0-nice";
const X: &str = "gstreamer1.0-x";

/// Elements outside GStreamer's core: the Debian package of each, the feature that is off without
/// it, and when its absence matters. Encoders that are only tried (`process::encoder_settings`) report their
/// own absence.
const ELEMENTS: &[(&str, &str, &str, Need)] = &[
    ("appsrc", BASE, "everything", ALWAYS),
    ("appsink", BASE, "everything", ALWAYS),
    ("audioconvert", BASE, "everything", ALWAYS),
    ("audioresample", BASE, "everything", ALWAYS),
    ("videoconvert", BASE, "everything", ALWAYS),
    ("videoscale", BASE, "scaling and thumbnails", ALWAYS),
    ("videotestsrc", BASE, "test sources and slates", ALWAYS),
    ("audiotestsrc", BASE, "test sources and silence", ALWAYS),
    ("decodebin", BASE, "file sources", ALWAYS),
    ("parsebin", BASE, "file sources", ALWAYS),
    ("opusenc", BASE, "sound to browsers", ALWAYS),
    ("opusdec", BASE, "sound from browsers", ALWAYS),
    ("aacparse", GOOD, "AAC", ALWAYS),
    ("capssetter", GOOD, "encoding, WebRTC", ALWAYS),
    ("deinterlace", GOOD, "decoding of pictures", ALWAYS),
    ("videocrop", GOOD, "encoding of odd sizes", ALWAYS),
    ("imagefreeze", GOOD, "slates", FEATURE),
    ("textoverlay", X, "text on slates", FEATURE),
    ("alawdec", GOOD, "G.711 of cameras", FEATURE),
    ("mulawdec", GOOD, "G.711 of cameras", FEATURE),
    ("mpegaudioparse", GOOD, "MP2 and MP3", FEATURE),
    ("mpg123audiodec", GOOD, "MP3 decoding", Need::Unless("avdec_mp3")),
    ("ac3parse", GOOD, "AC-3 sources", FEATURE),
    ("qtdemux", GOOD, "MP4 sources", FEATURE),
    ("flvmux", GOOD, "RTMP targets", FEATURE),
    ("rtspsrc", GOOD, "RTSP cameras", FEATURE),
    ("rtph265depay", GOOD, "H.265 of cameras", FEATURE),
    ("rtpmp4adepay", GOOD, "AAC of cameras", FEATURE),
    ("rtpmp4gdepay", GOOD, "AAC of cameras", FEATURE),
    ("rtpmpadepay", GOOD, "MPEG sound of cameras", FEATURE),
    ("rtpL16depay", GOOD, "raw sound of cameras", FEATURE),
    ("rtppcmadepay", GOOD, "G.711 of cameras", FEATURE),
    ("rtppcmudepay", GOOD, "G.711 of cameras", FEATURE),
    ("rtpbin", GOOD, "WebRTC", ALWAYS),
    ("rtpsession", GOOD, "WebRTC", ALWAYS),
    ("rtpjitterbuffer", GOOD, "WebRTC", ALWAYS),
    ("rtph264pay", GOOD, "H.264 by WHEP", ALWAYS),
    ("rtph264depay", GOOD, "H.264 by WHIP", ALWAYS),
    ("rtpvp8pay", GOOD, "VP8 by WHEP", ALWAYS),
    ("rtpvp8depay", GOOD, "VP8 by WHIP", ALWAYS),
    ("rtpvp9pay", GOOD, "VP9 by WHEP", ALWAYS),
    ("rtpvp9depay", GOOD, "VP9 by WHIP", ALWAYS),
    ("rtpopuspay", GOOD, "sound by WHEP", ALWAYS),
    ("rtpopusdepay", GOOD, "sound by WHIP", ALWAYS),
    ("vp8enc", GOOD, "VP8", ALWAYS),
    ("vp8dec", GOOD, "VP8", ALWAYS),
    ("avdec_vp8", LIBAV, "VP8 decoding", Need::Unless("vp8dec")),
    ("vp9dec", GOOD, "VP9", ALWAYS),
    ("avdec_vp9", LIBAV, "VP9 decoding", Need::Unless("vp9dec")),
    ("jpegenc", GOOD, "thumbnails", FEATURE),
    ("webrtcbin", BAD, "WHIP and WHEP", ALWAYS),
    ("dtlsenc", BAD, "WebRTC", ALWAYS),
    ("dtlsdec", BAD, "WebRTC", ALWAYS),
    ("dtlssrtpenc", BAD, "WebRTC", ALWAYS),
    ("dtlssrtpdec", BAD, "WebRTC", ALWAYS),
    ("srtpenc", BAD, "WebRTC", ALWAYS),
    ("srtpdec", BAD, "WebRTC", ALWAYS),
    ("sctpenc", BAD, "data channels: captions by WHEP", FEATURE),
    ("sctpdec", BAD, "data channels: captions by WHEP", FEATURE),
    ("nicesrc", NICE, "WebRTC", ALWAYS),
    ("nicesink", NICE, "WebRTC", ALWAYS),
    ("h264parse", BAD, "H.264", ALWAYS),
    ("h265parse", BAD, "H.265", ALWAYS),
    ("av1parse", BAD, "AV1", FEATURE),
    ("vp9parse", BAD, "VP9", FEATURE),
    ("opusparse", BAD, "Opus in SRT", FEATURE),
    ("tsdemux", BAD, "SRT publishers", ALWAYS),
    ("mpegtsmux", BAD, "SRT players and targets", ALWAYS),
    ("rtmp2sink", BAD, "RTMP targets", FEATURE),
    ("openh264enc", BAD, "H.264 encoding", FEATURE),
    ("voaacenc", BAD, "AAC encoding", FEATURE),
    ("av1enc", BAD, "AV1 encoding", FEATURE),
    ("av1dec", BAD, "AV1 decoding", Need::Unless("dav1ddec")),
    ("x264enc", UGLY, "better H.264 encoding", FEATURE),
    ("avdec_h264", LIBAV, "H.264 decoding", ALWAYS),
    ("openh264dec", BAD, "H.264 decoding", Need::Unless("avdec_h264")),
    ("avdec_h265", LIBAV, "H.265 decoding", FEATURE),
    ("libde265dec", BAD, "H.265 decoding", Need::Unless("avdec_h265")),
    ("avdec_aac", LIBAV, "AAC decoding", ALWAYS),
    ("faad", BAD, "AAC decoding", Need::Unless("avdec_aac")),
    ("avdec_opus", LIBAV, "Opus decoding", Need::Unless("opusdec")),
    ("avdec_mp2float", LIBAV, "MP2 decoding", Need::Unless("mpg123audiodec")),
    ("avdec_mp3", LIBAV, "MP3 decoding", Need::Unless("mpg123audiodec")),
    ("avenc_aac", LIBAV, "AAC encoding", FEATURE),
    ("mpegvideoparse", BAD, "MPEG-2 sources", FEATURE),
    ("avdec_mpeg2video", LIBAV, "MPEG-2 sources", FEATURE),
    ("avdec_ac3", LIBAV, "AC-3 sources", FEATURE),
    ("a52dec", UGLY, "AC-3 decoding", Need::Unless("avdec_ac3")),
    ("avdec_eac3", LIBAV, "E-AC-3 sources", FEATURE),
    ("avdec_aac_latm", LIBAV, "AAC in LATM", FEATURE),
    ("avdec_s302m", LIBAV, "SMPTE 302M sources", FEATURE),
    ("avdec_dca", LIBAV, "DTS sources", FEATURE),
    ("dtsdec", BAD, "DTS decoding", Need::Unless("avdec_dca")),
    ("dcaparse", GOOD, "DTS sources", FEATURE),
    ("mpeg2dec", UGLY, "MPEG-2 decoding", Need::Unless("avdec_mpeg2video")),
    ("rtpac3depay", GOOD, "AC-3 of cameras", FEATURE),
    ("rtpL24depay", GOOD, "raw audio of cameras", FEATURE),
    ("rtpmpvdepay", GOOD, "MPEG video of cameras", FEATURE),
    ("aiffparse", BAD, "AIFF files", FEATURE),
    ("apedemux", GOOD, "files with APE tags", FEATURE),
    ("asfdemux", UGLY, "ASF files", FEATURE),
    ("auparse", GOOD, "AU files", FEATURE),
    ("avdemux_ape", LIBAV, "Monkey's Audio files", FEATURE),
    ("avidemux", GOOD, "AVI files", FEATURE),
    ("flvdemux", GOOD, "FLV files", FEATURE),
    ("id3demux", GOOD, "files with ID3 tags", FEATURE),
    ("ivfparse", BAD, "IVF files", FEATURE),
    ("matroskademux", GOOD, "Matroska and WebM files", FEATURE),
    ("mpegpsdemux", BAD, "MPEG program streams", FEATURE),
    ("mxfdemux", BAD, "MXF files", FEATURE),
    ("oggdemux", BASE, "Ogg files", FEATURE),
    ("wavparse", GOOD, "WAV files", FEATURE),
];

/// A library that is opened when it is needed.
struct Library {
    name: &'static str,
    /// The Debian package that contains it.
    package: &'static str,
    /// The feature that is off without it.
    feature: &'static str,
    is_installed: fn() -> bool,
}

const LIBRARIES: &[Library] = &[Library {
    name: "librist",
    package: "librist4",
    feature: "RIST sources",
    is_installed: rist::is_installed,
}];

/// A GStreamer element or a library that is not installed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Missing {
    /// Name of the element or the library: `x264enc`.
    pub element: &'static str,
    /// The feature that is off without it.
    pub feature: &'static str,
    /// Whether the appliance does not work without it.
    pub required: bool,
    /// The Debian package that contains it.
    pub package: &'static str,
    /// The command that installs it.
    pub fix: String,
}

/// Number of elements and libraries in the tables.
pub fn count() -> usize {
    ELEMENTS.len() + LIBRARIES.len()
}

/// The elements and libraries that are not installed. GStreamer must be initialised.
pub(super) fn missing() -> Vec<Missing> {
    let mut missing = absent(|name| gst::ElementFactory::find(name).is_some());
    let absent = LIBRARIES.iter().filter(|library| !(library.is_installed)());
    missing.extend(absent.map(|library| Missing {
        element: library.name,
        feature: library.feature,
        required: false,
        package: library.package,
        fix: format!("sudo apt-get install {}", library.package),
    }));
    missing
}

fn absent(is_there: impl Fn(&str) -> bool) -> Vec<Missing> {
    let is_missed = |need: Need| match need {
        Need::Always | Need::Feature => true,
        Need::Unless(other) => !is_there(other),
    };
    ELEMENTS
        .iter()
        .filter(|(element, .., need)| !is_there(element) && is_missed(*need))
        .map(|&(element, package, feature, need)| Missing {
            element,
            feature,
            required: need == Need::Always,
            package,
            fix: format!("sudo apt-get install {package}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
