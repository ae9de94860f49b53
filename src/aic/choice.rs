//! What a voice sender may send, and what it costs on the wire.

use super::mean_size::mean_size;

/// Bytes of IPv4, UDP, RTP and the SRTP tag around each packet.
pub const WIRE_OVERHEAD_BYTES: usize = 20 + 8 + 12 + 10;

/// Bit/s of one byte in each frame of 20 ms.
const FRAME_BYTE_BPS: f64 = 8.0 * 50.0;

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// AIC-A.
    Aic {
        /// Stages of each frame: one of [`RATE_STAGES`](super::packet::RATE_STAGES).
        stages: usize,
        /// Frames of 20 ms per packet.
        frames: usize,
        /// Earlier frames repeated in each packet.
        redundant: usize,
    },
    /// Opus.
    Opus {
        /// Payload rate, bit/s.
        bitrate: u32,
        /// Frames of 20 ms per packet.
        frames: usize,
    },
}

impl Choice {
    /// Frames of 20 ms per packet.
    pub(super) fn frames(self) -> usize {
        let (Self::Aic { frames, .. } | Self::Opus { frames, .. }) = self;
        frames
    }

    /// The same in packets of another length.
    pub(super) fn with_frames(mut self, number: usize) -> Self {
        let (Self::Aic { frames, .. } | Self::Opus { frames, .. }) = &mut self;
        *frames = number;
        self
    }

    /// Bit/s of payload, of speech on average.
    pub fn payload(self) -> f64 {
        match self {
            Self::Aic { stages, frames, redundant } => {
                mean_size(stages, frames, redundant) * FRAME_BYTE_BPS / frames as f64
            }
            Self::Opus { bitrate, .. } => bitrate.into(),
        }
    }

    /// Bit/s on the wire, headers included.
    pub fn wire(self) -> f64 {
        self.payload() + WIRE_OVERHEAD_BYTES as f64 * FRAME_BYTE_BPS / self.frames() as f64
    }
}
