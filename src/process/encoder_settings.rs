//! Settings of each encoder for live streams: no B-frames, no look-ahead, steady bitrate.

use gst::prelude::*;

use crate::flow::Framing;
use crate::media::Codec;

/// Parameters of an encoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Bitrate in kbit/s.
    pub(super) kbps: u32,
    /// Distance of key frames, in frames at the nominal rate.
    pub(super) key_frames: u32,
    /// Threads for one encoder.
    pub(super) threads: usize,
}

impl Wanted {
    /// Frames after which the encoder inserts a key frame unasked. Key frames are requested by
    /// time. With uneven frame times an encoder that also counts would add a second one next to the
    /// first, so this is only a fallback for missing requests.
    fn key_frames_at_most(self) -> u32 {
        (self.key_frames * 4).clamp(8, 2_000)
    }
}

/// A supported encoder.
pub(super) struct Recipe {
    /// The codec that it produces.
    pub(super) codec: Codec,
    /// Factory name, as `gst-inspect-1.0` knows it.
    pub(super) factory: &'static str,
    /// The package or hardware that provides it, for the message when it is missing.
    pub(super) from: &'static str,
    /// Returns its properties in `gst-launch-1.0` syntax.
    properties: fn(Wanted) -> String,
}

/// All supported encoders, per codec in the order of preference: hardware first, then by picture
/// quality for their share of a core.
pub(super) const RECIPES: [Recipe; 21] = [
    Recipe { codec: Codec::H264, factory: "nvautogpuh264enc", from: NVIDIA, properties: nvcodec },
    Recipe { codec: Codec::H264, factory: "nvcudah264enc", from: NVIDIA, properties: nvcodec },
    Recipe { codec: Codec::H264, factory: "nvh264enc", from: NVIDIA, properties: nvenc },
    Recipe { codec: Codec::H264, factory: "x264enc", from: UGLY, properties: x264 },
    Recipe { codec: Codec::H264, factory: "openh264enc", from: BAD, properties: openh264 },
    Recipe { codec: Codec::H265, factory: "nvautogpuh265enc", from: NVIDIA, properties: nvcodec },
    Recipe { codec: Codec::H265, factory: "nvcudah265enc", from: NVIDIA, properties: nvcodec },
    Recipe { codec: Codec::H265, factory: "nvh265enc", from: NVIDIA, properties: nvenc },
    Recipe { codec: Codec::H265, factory: "x265enc", from: BAD, properties: x265 },
    Recipe { codec: Codec::Vp8, factory: "vp8enc", from: GOOD, properties: vp8 },
    Recipe { codec: Codec::Vp9, factory: "vp9enc", from: GOOD, properties: vp9 },
    Recipe { codec: Codec::Av1, factory: "svtav1enc", from: SVT, properties: svtav1 },
    Recipe { codec: Codec::Av1, factory: "av1enc", from: BAD, properties: av1 },
    Recipe { codec: Codec::Opus, factory: "opusenc", from: BASE, properties: opus },
    Recipe { codec: Codec::Aac, factory: "fdkaacenc", from: FDK, properties: bits_per_second },
    Recipe { codec: Codec::Aac, factory: "avenc_aac", from: LIBAV, properties: bits_per_second },
    Recipe { codec: Codec::Aac, factory: "voaacenc", from: BAD, properties: bits_per_second },
    Recipe { codec: Codec::Mp2, factory: "twolamemp2enc", from: GOOD, properties: twolame },
    Recipe { codec: Codec::Mp2, factory: "avenc_mp2", from: LIBAV, properties: bits_per_second },
    Recipe { codec: Codec::Mp3, factory: "lamemp3enc", from: GOOD, properties: lame },
    Recipe { codec: Codec::Mp3, factory: "avenc_mp3", from: LIBAV, properties: bits_per_second },
];

const NVIDIA: &str = "an NVIDIA GPU with NVENC and its driver";
const SVT: &str = "GStreamer 1.24 with SVT-AV1";
const FDK: &str = "GStreamer with fdk-aac";
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";

/// The recipe of a factory.
pub(super) fn recipe(factory: &str) -> Option<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.factory == factory)
}

impl Recipe {
    /// The elements from raw media to the canonical form of the codec, in `gst-launch-1.0` syntax.
    /// The encoder is named `encoder`.
    pub(super) fn describe(&self, wanted: Wanted) -> String {
        let properties = (self.properties)(wanted);
        format!("{} name=encoder {properties}{}", self.factory, canonical(self.codec))
    }
}

/// The elements that convert the encoder's output to the form of feeds.
fn canonical(codec: Codec) -> String {
    let parser = Framing::Feed.parser(codec).unwrap_or("identity");
    match codec {
        Codec::H264 => format!(" ! video/x-h264,profile=constrained-baseline ! {parser}"),
        // Their encoders' output has this form.
        Codec::Vp8 | Codec::Opus | Codec::RawVideo | Codec::RawAudio => String::new(),
        _ => format!(" ! {parser}"),
    }
}

/// Changes the bitrate of a running video encoder. Encoders that cannot change it keep theirs.
pub(super) fn retune(encoder: &gst::Element, kbps: u32) {
    let factory = encoder.factory().map(|f| f.name().to_string()).unwrap_or_default();
    let (property, value) = match factory.as_str() {
        "vp8enc" | "vp9enc" => ("target-bitrate", kbps.saturating_mul(1000)),
        "openh264enc" => ("bitrate", kbps.saturating_mul(1000)),
        "svtav1enc" | "av1enc" => ("target-bitrate", kbps),
        _ => ("bitrate", kbps),
    };
    if encoder.find_property(property).is_some() {
        encoder.set_property_from_str(property, &value.to_string());
    }
}

fn nvcodec(w: Wanted) -> String {
    format!(
        "bitrate={} rate-control=cbr gop-size={} b-frames=0 zero-reorder-delay=true \
         repeat-sequence-header=true preset=p3 tune=ultra-low-latency",
        w.kbps,
        w.key_frames_at_most()
    )
}

fn nvenc(w: Wanted) -> String {
    format!(
        "bitrate={} rc-mode=cbr gop-size={} bframes=0 zerolatency=true preset=low-latency-hq",
        w.kbps,
        w.key_frames_at_most()
    )
}

/// `scenecut=0`: a key frame at each cut would make the bitrate jump and split segments.
fn x264(w: Wanted) -> String {
    format!(
        "tune=zerolatency speed-preset=veryfast bitrate={} key-int-max={} bframes=0 \
         threads={} vbv-buf-capacity=500 option-string=scenecut=0",
        w.kbps,
        w.key_frames_at_most(),
        w.threads
    )
}

fn openh264(w: Wanted) -> String {
    let bits = w.kbps * 1000;
    format!(
        "rate-control=bitrate bitrate={bits} max-bitrate={} gop-size={} complexity=low \
         multi-thread={} scene-change-detection=false",
        bits / 10 * 13,
        w.key_frames_at_most(),
        w.threads
    )
}

fn x265(w: Wanted) -> String {
    format!(
        "tune=zerolatency speed-preset=ultrafast bitrate={} key-int-max={} log-level=error \
         option-string=\"bframes=0:scenecut=0:repeat-headers=1:pools={}\"",
        w.kbps,
        w.key_frames_at_most(),
        w.threads
    )
}

fn vp8(w: Wanted) -> String {
    format!(
        "deadline=1 cpu-used=-8 end-usage=cbr target-bitrate={} keyframe-max-dist={} \
         lag-in-frames=0 error-resilient=default max-intra-bitrate=300 buffer-size=1000 \
         buffer-initial-size=500 buffer-optimal-size=600 static-threshold=1 threads={}",
        w.kbps * 1000,
        w.key_frames_at_most(),
        w.threads
    )
}

fn vp9(w: Wanted) -> String {
    format!(
        "deadline=1 cpu-used=8 end-usage=cbr target-bitrate={} keyframe-max-dist={} \
         lag-in-frames=0 error-resilient=default max-intra-bitrate=300 buffer-size=1000 \
         buffer-initial-size=500 buffer-optimal-size=600 row-mt=true tile-columns=2 threads={}",
        w.kbps * 1000,
        w.key_frames_at_most(),
        w.threads
    )
}

fn svtav1(w: Wanted) -> String {
    format!(
        "preset=11 target-bitrate={} intra-period-length={} \
         parameters-string=\"rc=2:pred-struct=1:scd=0:lp={}\"",
        w.kbps,
        w.key_frames_at_most(),
        w.threads
    )
}

/// The quantizer range is mandatory: with the element's default of 0-0 libaom's rate control aborts
/// the whole process. The element (1.22) does not forward key frame requests, so key frames come by
/// count.
fn av1(w: Wanted) -> String {
    format!(
        "usage-profile=realtime cpu-used=10 end-usage=cbr target-bitrate={} \
         min-quantizer=8 max-quantizer=56 keyframe-max-dist={} lag-in-frames=0 row-mt=true \
         tile-columns=1 threads={}",
        w.kbps, w.key_frames, w.threads
    )
}

fn opus(w: Wanted) -> String {
    format!(
        "bitrate={} frame-size=20 bitrate-type=constrained-vbr audio-type=generic inband-fec=true \
         packet-loss-percentage=5",
        w.kbps * 1000
    )
}

fn bits_per_second(w: Wanted) -> String {
    format!("bitrate={}", w.kbps * 1000)
}

fn twolame(w: Wanted) -> String {
    format!("bitrate={}", w.kbps)
}

fn lame(w: Wanted) -> String {
    format!("target=bitrate cbr=true bitrate={}", w.kbps)
}
