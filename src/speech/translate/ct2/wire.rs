//! What passes between the appliance and the process of a model.

use serde::{Deserialize, Serialize};

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Question {
    /// Load the model and say so.
    Load,
    /// Translate.
    Translate {
        /// One line.
        text: String,
        /// Its language, BCP 47.
        from: String,
        /// The language that is wanted, BCP 47.
        to: String,
    },
}

/// The answer to both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// The translation.
    pub(super) text: String,
}
