//! Which model weights there are, where they live, and whether they are what they claim to be.
//!
//! Invariant: knows files and manifests, but nothing of what a model does.

use serde::Deserialize;

/// `[models]`: where model weights live.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
