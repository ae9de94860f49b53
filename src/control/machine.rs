//! Capabilities of this machine: GStreamer elements, encoders and GPU, and the commands that add
//! missing ones.

use serde::Serialize;

use super::elements::{self, Missing};
use crate::aic;
use crate::gpu::Gpus;
use crate::process::encoders::{Encoders, Probed};

/// The voice codec AIC-A. Trunks send voice with it if both ends have it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct VoiceCodec {
    /// Whether it can be used on this machine.
    pub available: bool,
    /// `built in`, or the path of the weights file that was found.
    pub weights: Option<String>,
    /// Id of the model. Both ends need the same one.
    pub model: Option<String>,
    /// Why it is off, as text.
    pub reason: Option<String>,
    /// The command that enables it.
    pub fix: Option<&'static str>,
    /// Summary in one line.
    pub text: String,
}

impl VoiceCodec {
    fn probe() -> Self {
        let (found, missing) = match aic::available() {
            Ok(found) => (Some(found), None),
            Err(missing) => (None, Some(missing)),
        };
        let (weights, id) = found.map(|(w, id)| (w, aic::weights::text(id))).unzip();
        let text = match (&id, &weights, missing) {
            (Some(id), Some(weights), None) => format!("AIC-A, model {id} ({weights})"),
            (.., Some(missing)) => format!("Opus; AIC-A is off: {missing}"),
            _ => "Opus".into(),
        };
        Self {
            available: missing.is_none(),
            weights: weights.map(|weights| weights.to_string()),
            model: id,
            reason: missing.map(|m| m.to_string()),
            fix: missing.map(aic::Missing::fix),
            text,
        }
    }
}

/// What was found at start.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The GPUs.
    pub gpus: Gpus,
    /// Encoders that were tried, and the results.
    pub encoders: Encoders,
    /// Missing GStreamer elements.
    pub missing: Vec<Missing>,
    /// GStreamer's version.
    pub gstreamer: String,
    /// The voice codec.
    pub voice_codec: VoiceCodec,
}

impl Machine {
    /// Probes everything except the encoders. GStreamer must be initialised.
    pub fn probe(encoders: Encoders) -> Self {
        let gpus = Gpus::probe();
        Self {
            voice_codec: VoiceCodec::probe(),
            gpus,
            encoders,
            missing: elements::missing(),
            gstreamer: gst::version_string().to_string(),
        }
    }

    /// A machine whose encoders are probed once for all tests.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        static MACHINE: std::sync::OnceLock<Machine> = std::sync::OnceLock::new();
        MACHINE.get_or_init(|| Self::probe(Encoders::probe(&Default::default()))).clone()
    }

    /// All encoders that were tried.
    pub fn probed(&self) -> &[Probed] {
        self.encoders.list()
    }
}
