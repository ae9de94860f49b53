//! Noise suppression between two feeds of raw sound.

use serde::{Deserialize, Serialize};

/// How noise is suppressed. Everything may change while the stream runs, without a click.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Off passes the sound through untouched, at the same latency.
    pub enabled: bool,
    /// Share of the cleaned sound in the mix, 0.0-1.0.
    pub mix: f32,
    /// Noise is lowered by at most this much, in dB, 0-100.
    pub max_attenuation_db: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, mix: 1.0, max_attenuation_db: 100.0 }
    }
}
