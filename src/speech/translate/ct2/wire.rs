//! Messages between the appliance and the process of a model.

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Question {
    /// Load the model, then answer.
    Load,
    /// Translate.
    Translate {
        /// One line.
        text: String,
        /// Language of the text, BCP 47.
        from: String,
        /// Language of the translation, BCP 47.
        to: String,
    },
}

/// The answer to both requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// The translation; empty for [`Question::Load`].
    pub(super) text: String,
}
