//! Settings of process nodes that may change while they run, or that all streams share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::media::Rung;
use crate::speech::denoise::{Engine, Strength};

/// How noise is suppressed. Everything may change while the stream runs, without a click.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DenoiseSettings)]
pub struct DenoiseSettings {
    /// Off passes the sound through untouched, at the same latency.
    pub enabled: bool,
    /// Share of the cleaned sound in the mix, 0.0-1.0.
    pub mix: f32,
    /// Noise is lowered by at most this much, in dB, 0-100.
    pub max_attenuation_db: f32,
    /// `dfn3`: DeepFilterNet 3, 40 ms of latency; `rnnoise`: RNNoise, 20 ms; `auto`: the first where it
    /// is installed, else the second.
    pub engine: Engine,
    /// DeepFilterNet lowers more of the noise, at some cost in the voice.
    pub post_filter: bool,
}

impl Default for DenoiseSettings {
    fn default() -> Self {
        let Strength { enabled, mix, max_attenuation_db } = Strength::default();
        Self { enabled, mix, max_attenuation_db, engine: Engine::Auto, post_filter: false }
    }
}

impl DenoiseSettings {
    /// The same with each value clamped to its range.
    pub fn strength(&self) -> Strength {
        let within =
            |value: f32, most: f32| if value.is_nan() { most } else { value.clamp(0.0, most) };
        Strength {
            enabled: self.enabled,
            mix: within(self.mix, 1.0),
            max_attenuation_db: within(self.max_attenuation_db, 100.0),
        }
    }
}

/// EncodeSettings of an encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeSettings {
    /// Video bitrate in kbit/s; `None` takes [`default_video_kbps`](super::encode::default_video_kbps).
    pub video_kbps: Option<u32>,
    /// Audio bitrate in kbit/s; `None` takes [`default_audio_kbps`](super::encode::default_audio_kbps).
    pub audio_kbps: Option<u32>,
    /// Distance between key frames. They fall on multiples of it on the shared clock, so that all
    /// renditions of a stream can be cut at the same places. Viewers may request more.
    pub keyframe_interval: Duration,
    /// The rung of the ladder that is made of a larger picture; `None` keeps the size.
    pub rung: Option<Rung>,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        let keyframe_interval = Duration::from_secs(2);
        Self { video_kbps: None, audio_kbps: None, keyframe_interval, rung: None }
    }
}
