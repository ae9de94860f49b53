//! What this machine can do: GStreamer elements, encoders, GPU; and the command that turns on what
//! it cannot.

use std::path::Path;

use serde::Serialize;

use crate::aic;
use crate::gpu::Gpus;
use crate::process::encoders::{Encoders, Probed};

/// GStreamer elements that we use, the Debian package that has each, and what is off without it.
/// `true` means that the appliance is of no use without it.
const ELEMENTS: &[(&str, &str, &str, bool)] = &[
    ("appsrc", "gstreamer1.0-plugins-base", "everything", true),
    ("audioconvert", "gstreamer1.0-plugins-base", "everything", true),
    ("audioresample", "gstreamer1.0-plugins-base", "everything", true),
    ("videoconvert", "gstreamer1.0-plugins-base", "everything", true),
    ("videoscale", "gstreamer1.0-plugins-base", "scaling and thumbnails", true),
    ("videotestsrc", "gstreamer1.0-plugins-base", "test sources and slates", true),
    ("audiotestsrc", "gstreamer1.0-plugins-base", "test sources and silence", true),
    ("decodebin", "gstreamer1.0-plugins-base", "file sources", true),
    ("opusenc", "gstreamer1.0-plugins-base", "sound to browsers", true),
    ("opusdec", "gstreamer1.0-plugins-base", "sound from browsers", true),
    ("aacparse", "gstreamer1.0-plugins-good", "AAC", true),
    ("alawdec", "gstreamer1.0-plugins-good", "G.711 of cameras", false),
    ("mulawdec", "gstreamer1.0-plugins-good", "G.711 of cameras", false),
    ("mpegaudioparse", "gstreamer1.0-plugins-good", "MP2 and MP3", false),
    ("qtdemux", "gstreamer1.0-plugins-good", "MP4 sources", false),
    ("flvmux", "gstreamer1.0-plugins-good", "RTMP targets", false),
    ("flvdemux", "gstreamer1.0-plugins-good", "RTMP publishers", true),
    ("rtspsrc", "gstreamer1.0-plugins-good", "RTSP cameras", false),
    ("rtpbin", "gstreamer1.0-plugins-good", "WebRTC", true),
    ("rtph264pay", "gstreamer1.0-plugins-good", "WebRTC", true),
    ("vp8enc", "gstreamer1.0-plugins-good", "VP8", true),
    ("vp8dec", "gstreamer1.0-plugins-good", "VP8", true),
    ("jpegenc", "gstreamer1.0-plugins-good", "thumbnails", false),
    ("webrtcbin", "gstreamer1.0-plugins-bad", "WHIP and WHEP", true),
    ("dtlsenc", "gstreamer1.0-plugins-bad", "WebRTC", true),
    ("srtpenc", "gstreamer1.0-plugins-bad", "WebRTC", true),
    ("nicesrc", "gstreamer1.0-nice", "WebRTC", true),
    ("h264parse", "gstreamer1.0-plugins-bad", "H.264", true),
    ("h265parse", "gstreamer1.0-plugins-bad", "H.265", true),
    ("av1parse", "gstreamer1.0-plugins-bad", "AV1", false),
    ("vp9parse", "gstreamer1.0-plugins-bad", "VP9", false),
    ("opusparse", "gstreamer1.0-plugins-bad", "Opus in SRT", false),
    ("tsdemux", "gstreamer1.0-plugins-bad", "SRT publishers", true),
    ("mpegtsmux", "gstreamer1.0-plugins-bad", "SRT players and targets", true),
    ("srtsink", "gstreamer1.0-plugins-bad", "SRT targets", false),
    ("srtsrc", "gstreamer1.0-plugins-bad", "SRT sources", false),
    ("openh264enc", "gstreamer1.0-plugins-bad", "H.264 encoding", false),
    ("voaacenc", "gstreamer1.0-plugins-bad", "AAC encoding", false),
    ("av1enc", "gstreamer1.0-plugins-bad", "AV1 encoding", false),
    ("x264enc", "gstreamer1.0-plugins-ugly", "better H.264 encoding", false),
    ("avdec_h264", "gstreamer1.0-libav", "H.264 decoding", true),
    ("avdec_h265", "gstreamer1.0-libav", "H.265 decoding", false),
    ("avdec_aac", "gstreamer1.0-libav", "AAC decoding", true),
    ("avenc_aac", "gstreamer1.0-libav", "AAC encoding", false),
    ("avdec_mpeg2video", "gstreamer1.0-libav", "MPEG-2 sources", false),
    ("avdec_ac3", "gstreamer1.0-libav", "AC-3 sources", false),
];

/// A GStreamer element that is not there.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = MissingElement)]
pub struct Missing {
    /// Its name: `x264enc`.
    pub element: &'static str,
    /// What is off without it.
    pub feature: &'static str,
    /// Whether the appliance is of no use without it.
    pub required: bool,
    /// The Debian package that has it.
    pub package: &'static str,
    /// The command that turns it on.
    pub fix: String,
}

/// The voice codec AIC-A, by which trunks send voice where both ends have it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct VoiceCodec {
    /// Whether voice can go by it here.
    pub available: bool,
    /// Whether the program was built with its engine (cargo feature `aic`).
    pub engine: bool,
    /// The file of weights that was found.
    pub weights: Option<String>,
    /// Id of the model: two ends with the same one understand each other.
    pub model: Option<String>,
    /// Where its engine runs: `gpu` where there is one and libtorch came with CUDA, else `cpu`.
    pub device: Option<&'static str>,
    /// Why it is off, in words.
    pub reason: Option<String>,
    /// The command that turns it on.
    pub fix: Option<&'static str>,
    /// All that in a line.
    pub text: String,
}

impl VoiceCodec {
    fn probe(gpus: &Gpus) -> Self {
        let (weights, missing) = (aic::weights::find(), aic::available().err());
        let id = weights.as_deref().and_then(aic::weights::id).map(aic::weights::text);
        let on_gpu = matches!(gpus, Gpus::Ready { .. }) && libtorch_has_cuda();
        let (device, place) = if on_gpu { ("gpu", "GPU") } else { ("cpu", "processor") };
        let text = match (&id, missing) {
            (Some(id), None) => format!("AIC-A, model {id}, on the {place}"),
            (_, Some(missing)) => format!("Opus; AIC-A is off: {missing}"),
            (None, None) => "Opus".into(),
        };
        Self {
            available: missing.is_none(),
            engine: cfg!(feature = "aic"),
            weights: weights.map(|path| path.display().to_string()),
            model: id,
            device: missing.is_none().then_some(device),
            reason: missing.map(|m| m.to_string()),
            fix: missing.map(aic::Missing::fix),
            text,
        }
    }
}

/// Whether libtorch, which is loaded with the program, has its part for CUDA beside it.
fn libtorch_has_cuda() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let library = files.find(|file| file.ends_with("/libtorch_cpu.so"));
    library.is_some_and(|file| Path::new(file).with_file_name("libtorch_cuda.so").is_file())
}

/// What was found at the start.
#[derive(Clone, Debug)]
pub struct Machine {
    /// GPUs.
    pub gpus: Gpus,
    /// Encoders that were tried.
    pub encoders: Encoders,
    /// Elements that are missing.
    pub missing: Vec<Missing>,
    /// GStreamer's version.
    pub gstreamer: String,
    /// The voice codec.
    pub voice_codec: VoiceCodec,
}

impl Machine {
    /// Looks at everything else. GStreamer must be running.
    pub fn probe(encoders: Encoders) -> Self {
        let gpus = Gpus::probe();
        Self {
            voice_codec: VoiceCodec::probe(&gpus),
            gpus,
            encoders,
            missing: missing(),
            gstreamer: gst::version_string().to_string(),
        }
    }

    /// A machine whose encoders are tried once for all tests.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        static MACHINE: std::sync::OnceLock<Machine> = std::sync::OnceLock::new();
        MACHINE.get_or_init(|| Self::probe(Encoders::probe(&Default::default()))).clone()
    }

    /// Everything that was tried to encode.
    pub fn probed(&self) -> &[Probed] {
        self.encoders.list()
    }
}

/// How many elements we know to look for.
pub fn elements() -> usize {
    ELEMENTS.len()
}

fn missing() -> Vec<Missing> {
    let absent = |name: &str| gst::ElementFactory::find(name).is_none();
    ELEMENTS
        .iter()
        .filter(|(element, ..)| absent(element))
        .map(|&(element, package, feature, required)| Missing {
            element,
            feature,
            required,
            package,
            fix: format!("sudo apt-get install {package}"),
        })
        .collect()
}
