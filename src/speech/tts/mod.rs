//! Text-to-speech, for dubbing.

use serde::Deserialize;

/// `[tts]`: how text becomes speech.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
