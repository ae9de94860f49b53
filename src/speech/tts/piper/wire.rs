//! Messages between the appliance and the child of a voice.

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {}
