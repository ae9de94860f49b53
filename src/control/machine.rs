//! What this machine can do: GStreamer elements, encoders, GPU; and the command that turns on what
//! it cannot.

use std::path::Path;

use serde::Serialize;

use super::elements::{self, Missing};
use crate::aic;
use crate::gpu::Gpus;
use crate::process::encoders::{Encoders, Probed};

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
            missing: elements::missing(),
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
