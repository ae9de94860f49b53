//! Messages between the appliance and the child of a voice.

use serde::{Deserialize, Serialize};

use crate::onnx::{Choice, Device, NoCuda};

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Question {
    /// Load the model, then answer.
    Load,
    /// Speak.
    Say(Sentence),
}

/// A sentence as the model takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sentence {
    /// Numbers of the phonemes.
    pub(super) ids: Vec<i64>,
    /// `noise_scale`, `length_scale` and `noise_w`.
    pub(super) scales: [f32; 3],
    /// The speaker, for a model with several.
    pub(super) speaker: Option<i64>,
}

/// The answer to both; the audio, 16-bit little-endian mono, is its body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// Whether the voice was loaded onto a GPU.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) on_gpu: bool,
    /// Why it was not, with the remedy, if it was allowed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why_not: Option<String>,
}

impl From<&Choice> for Answer {
    fn from(choice: &Choice) -> Self {
        let told = |why: &NoCuda| match why.fix() {
            Some(fix) => format!("{why}: {fix}"),
            None => why.to_string(),
        };
        Self { on_gpu: choice.device == Device::Cuda, why_not: choice.why.as_ref().map(told) }
    }
}
