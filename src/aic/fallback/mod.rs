//! Opus inside AIC-A packets: 48 kHz, one or two channels, packets of 20, 40 or 60 ms.
//!
//! libopus itself encodes and decodes, with its networks: NoLACE sharpens voices of low rates, and
//! deep concealment bridges losses.
//!
//! AIC-A gets its input 4.5 ms late, so that the output of either codec has the same delay
//! ([`CODEC_DELAY_SAMPLES`]) and a change of codec causes no jump in time.

mod decoder;
mod encoder;
#[cfg(test)]
mod tests;

use opusic_c::{Channels, ErrorCode};

use super::{RATE_HZ, resample};

pub use decoder::{OpusDecoder, redundancy};
pub use encoder::{OpusEncoder, OpusPacket, OpusSettings};

/// Samples per second of all audio except inside AIC-A.
pub const WIDE_RATE_HZ: usize = 48_000;

/// Samples of a frame at that rate, per channel: 20 ms.
pub const WIDE_FRAME_SAMPLES: usize = 960;

/// Delay of a receiver's output behind the sender's input, with either codec, in samples at 48 kHz:
/// 6.5 ms, libopus's look-ahead.
pub const CODEC_DELAY_SAMPLES: usize = 312;

/// How long samples at 16 kHz wait for AIC-A, whose only delay is that of the resampling: 4.5 ms.
pub const AIC_WAIT_SAMPLES: usize =
    (CODEC_DELAY_SAMPLES - 2 * resample::FILTER_DELAY_SAMPLES) * RATE_HZ as usize / WIDE_RATE_HZ;

/// Most frames that one packet carries.
pub const OPUS_FRAMES_MAX: usize = 3;

/// libopus failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libopus: {}", .0.message())]
pub struct OpusError(ErrorCode);

impl From<ErrorCode> for OpusError {
    fn from(code: ErrorCode) -> Self {
        Self(code)
    }
}

fn channels(count: usize) -> Channels {
    if count == 1 { Channels::Mono } else { Channels::Stereo }
}
