//! Opus inside AIC-A packets: 48 kHz, 20 ms, one or two channels.
//!
//! AIC-A gets its input 4.5 ms late, so that the output of either codec has the same delay
//! ([`CODEC_DELAY_SAMPLES`]) and a change of codec causes no jump in time.

use std::collections::VecDeque;

use opus::{Application, Bitrate, Channels};

use super::payload::OPUS_BYTES_MAX;
use super::{RATE_HZ, resample};

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

/// Longest Opus packet in samples per channel: 120 ms.
const OPUS_PACKET_SAMPLES_MAX: usize = 5_760;

fn channels(count: usize) -> Channels {
    if count == 1 { Channels::Mono } else { Channels::Stereo }
}

/// Encodes frames to packets, on request.
pub struct OpusEncoder {
    opus: opus::Encoder,
    channels: usize,
    /// Interleaved samples that precede the next frame.
    before: VecDeque<f32>,
    /// Whether the last frame was encoded, so that the next one continues it.
    runs: bool,
    bitrate: u32,
    loss: u32,
}

impl OpusEncoder {
    /// An encoder for one or two channels.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(channels_: usize) -> Result<Self, opus::Error> {
        let channels_ = channels_.clamp(1, 2);
        let mut opus =
            opus::Encoder::new(WIDE_RATE_HZ as u32, channels(channels_), Application::Audio)?;
        let ahead =
            opus.get_lookahead().map_or(CODEC_DELAY_SAMPLES, |n| usize::try_from(n).unwrap_or(0));
        opus.set_complexity(5)?;
        opus.set_vbr_constraint(true)?;
        opus.set_inband_fec(true)?;
        let before = vec![0.0; CODEC_DELAY_SAMPLES.saturating_sub(ahead) * channels_].into();
        Ok(Self { opus, channels: channels_, before, runs: false, bitrate: 0, loss: 0 })
    }

    /// Takes a frame of 960 samples per channel and returns its packet if it is `wanted`, at a bit
    /// rate in bit/s and with redundancy for an expected loss in percent.
    ///
    /// # Errors
    /// libopus fails.
    pub fn frame(
        &mut self,
        frame: &[f32],
        wanted: bool,
        (bitrate, loss): (u32, u32),
    ) -> Result<Option<Vec<u8>>, opus::Error> {
        self.before.extend(frame);
        let now: Vec<f32> = self.before.drain(..WIDE_FRAME_SAMPLES * self.channels).collect();
        if !wanted {
            self.runs = false;
            return Ok(None);
        }
        if !self.runs {
            // The receiver starts afresh too.
            self.opus.reset_state()?;
            self.runs = true;
        }
        if bitrate != self.bitrate {
            self.opus.set_bitrate(Bitrate::Bits(bitrate as i32))?;
            self.bitrate = bitrate;
        }
        if loss != self.loss {
            self.opus.set_packet_loss_perc(loss.min(100) as i32)?;
            self.loss = loss;
        }
        self.opus.encode_vec_float(&now, OPUS_BYTES_MAX).map(Some)
    }
}

/// Joins several packets, which must be alike, into one (RFC 6716 section 3.2.5).
///
/// # Errors
/// They are not alike, or too long together.
pub fn joined(packets: &[Vec<u8>]) -> Result<Vec<u8>, opus::Error> {
    let parts: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let mut whole = vec![0; OPUS_BYTES_MAX];
    let length = opus::Repacketizer::new()?.combine(&parts, &mut whole)?;
    whole.truncate(length);
    Ok(whole)
}

/// Whether two packets may be joined: the same mode, bandwidth, frame size and channels.
pub fn alike(a: &[u8], b: &[u8]) -> bool {
    a.first().zip(b.first()).is_some_and(|(a, b)| a >> 2 == b >> 2)
}

/// Decodes packets, and conceals lost ones.
pub struct OpusDecoder {
    opus: opus::Decoder,
    channels: usize,
}

impl OpusDecoder {
    /// A decoder with one or two output channels, whatever the packets contain.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(channels_: usize) -> Result<Self, opus::Error> {
        let channels_ = channels_.clamp(1, 2);
        let opus = opus::Decoder::new(WIDE_RATE_HZ as u32, channels(channels_))?;
        Ok(Self { opus, channels: channels_ })
    }

    /// The interleaved samples of a packet.
    ///
    /// # Errors
    /// The packet is invalid.
    pub fn packet(&mut self, packet: &[u8]) -> Result<Vec<f32>, opus::Error> {
        let mut audio = vec![0.0; OPUS_PACKET_SAMPLES_MAX * self.channels];
        let count = self.opus.decode_float(packet, &mut audio, false)?;
        audio.truncate(count * self.channels);
        Ok(audio)
    }

    /// The 20 ms before a packet, which were lost, from the redundancy in that packet.
    ///
    /// # Errors
    /// The packet is invalid.
    pub fn before(&mut self, packet: &[u8]) -> Result<Vec<f32>, opus::Error> {
        let mut audio = vec![0.0; WIDE_FRAME_SAMPLES * self.channels];
        self.opus.decode_float(packet, &mut audio, true)?;
        Ok(audio)
    }

    /// 20 ms of concealment for a lost packet.
    ///
    /// # Errors
    /// libopus fails.
    pub fn lost(&mut self) -> Result<Vec<f32>, opus::Error> {
        let mut audio = vec![0.0; WIDE_FRAME_SAMPLES * self.channels];
        self.opus.decode_float(&[], &mut audio, false)?;
        Ok(audio)
    }

    /// Forgets past packets.
    pub fn reset(&mut self) {
        if let Err(error) = self.opus.reset_state() {
            tracing::warn!(%error, "Opus cannot begin anew");
        }
    }
}
