//! Translation of committed cues.

use serde::Deserialize;

/// `[translate]`: how text becomes text in other languages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
