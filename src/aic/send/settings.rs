//! Settings that may change while a stream is sent.

use crate::aic::engine_timeout::EngineTimeout;

/// The codec preference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodecPolicy {
    /// AIC-A for speech, Opus for everything else.
    #[default]
    Auto,
    /// AIC-A for everything.
    Aic,
    /// Opus for everything.
    Opus,
}

/// Settings that may change while a stream runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The codec preference.
    pub wish: CodecPolicy,
    /// Most stages of each frame: the rate is the best of
    /// [`RATE_STAGES`](crate::aic::packet::RATE_STAGES) that has no more.
    pub stages: usize,
    /// Frames per packet, 1 to 4.
    pub frames: usize,
    /// Earlier frames repeated in each packet, 0 to 2.
    pub redundant: usize,
    /// Whether all packets have the same size, so that sizes do not tell what is said (RFC 6562).
    pub constant: bool,
    /// Bit rate of Opus, bit/s.
    pub opus_bitrate: u32,
    /// Opus frames per packet, 1 to [`OPUS_FRAMES_MAX`](crate::aic::fallback::OPUS_FRAMES_MAX).
    pub opus_frames: usize,
    /// Packet loss that Opus prepares for, in percent.
    pub opus_loss: u32,
    /// Whether to use discontinuous transmission.
    pub dtx: bool,
    /// How to wait for the engine.
    pub engine_timeout: EngineTimeout,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wish: CodecPolicy::Auto,
            stages: 18,
            frames: 1,
            redundant: 0,
            constant: false,
            opus_bitrate: 24_000,
            opus_frames: 1,
            opus_loss: 0,
            dtx: false,
            engine_timeout: EngineTimeout::default(),
        }
    }
}
