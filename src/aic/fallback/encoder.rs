//! Frames -> Opus packets.

use std::collections::VecDeque;

use opusic_c::{Application, Bandwidth, Bitrate, Encoder, InbandFec, SampleRate, Signal};

use super::{CODEC_DELAY_SAMPLES, OPUS_FRAMES_MAX, OpusError, WIDE_FRAME_SAMPLES, channels};
use crate::aic::payload::OPUS_BYTES_MAX;

/// Up to this rate voice is sent as wideband, which NoLACE needs. By itself libopus would send less
/// bandwidth below 9 kbit/s, and more above 13, which costs a voice more than it gives
/// (docs/measurements.md).
const WIDEBAND_BPS_MAX: u32 = 16_000;

/// Rates at which libopus narrows the bandwidth to make room for FEC when it is told a loss above 5 %
/// and below [`WIDE_LOSS_PERCENT`], which costs a voice more than the FEC gives (docs/measurements.md).
const FEC_NARROWS_BPS: std::ops::RangeInclusive<u32> = WIDEBAND_BPS_MAX + 1..=20_000;

/// The loss from which on it does not.
const WIDE_LOSS_PERCENT: u32 = 20;

/// The most effort. Less costs 0.2 to 0.3 of PESQ-WB at 8 to 12 kbit/s (docs/measurements.md).
const COMPLEXITY_LEVEL: u8 = 10;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusSettings {
    /// Bit rate, bit/s.
    pub bitrate: u32,
    /// Frames of 20 ms per packet, 1 to [`OPUS_FRAMES_MAX`].
    pub frames: usize,
    /// Packet loss to prepare for, in percent.
    pub loss: u32,
    /// Whether the audio is voice.
    pub voice: bool,
}

/// An Opus packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusPacket {
    /// Its bytes, at most [`OPUS_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// Frames of 20 ms in it.
    pub frames: usize,
}

/// Encodes frames to packets, on request.
pub struct OpusEncoder {
    opus: Encoder,
    channels: usize,
    /// Interleaved samples that precede the next frame.
    before: VecDeque<f32>,
    /// Samples that wait for a full packet.
    waiting: Vec<f32>,
    /// Whether the last frame was wanted, so that the next one continues it.
    runs: bool,
    applied: Option<OpusSettings>,
}

impl OpusEncoder {
    /// An encoder for one or two channels.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(count: usize) -> Result<Self, OpusError> {
        let count = count.clamp(1, 2);
        let mut opus = Encoder::new(channels(count), SampleRate::Hz48000, Application::Audio)?;
        let ahead = opus.get_look_ahead().map_or(CODEC_DELAY_SAMPLES, |n| n as usize);
        opus.set_complexity(COMPLEXITY_LEVEL)?;
        opus.set_vbr_constraint(true)?;
        opus.set_inband_fec(InbandFec::Mode1)?;
        let before = vec![0.0; CODEC_DELAY_SAMPLES.saturating_sub(ahead) * count].into();
        let waiting = Vec::with_capacity(OPUS_FRAMES_MAX * WIDE_FRAME_SAMPLES * count);
        Ok(Self { opus, channels: count, before, waiting, runs: false, applied: None })
    }

    /// Takes a frame of 960 samples per channel, `wanted` as Opus or not. Returns the packet of the
    /// frames that wait once it is full, and what waits of it when a frame is not wanted.
    ///
    /// # Errors
    /// libopus fails.
    pub fn frame(
        &mut self,
        frame: &[f32],
        wanted: bool,
        settings: &OpusSettings,
    ) -> Result<Option<OpusPacket>, OpusError> {
        self.before.extend(frame);
        let now = self.before.drain(..WIDE_FRAME_SAMPLES * self.channels);
        if !wanted {
            drop(now);
            let rest = self.finish();
            self.runs = false;
            return rest;
        }
        self.waiting.extend(now);
        if !self.runs {
            // The receiver starts afresh too.
            self.opus.reset()?;
            self.runs = true;
        }
        self.apply(settings)?;
        let full = self.waiting_frames() >= settings.frames.clamp(1, OPUS_FRAMES_MAX);
        if full { self.finish() } else { Ok(None) }
    }

    /// The packet of the frames that wait, if any do.
    ///
    /// # Errors
    /// libopus fails.
    pub fn finish(&mut self) -> Result<Option<OpusPacket>, OpusError> {
        let frames = self.waiting_frames();
        if frames == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(OPUS_BYTES_MAX);
        let encoded = self.opus.encode_float_to_vec(&self.waiting, &mut bytes);
        self.waiting.clear();
        encoded?;
        Ok(Some(OpusPacket { bytes, frames }))
    }

    fn waiting_frames(&self) -> usize {
        self.waiting.len() / (WIDE_FRAME_SAMPLES * self.channels)
    }

    fn apply(&mut self, settings: &OpusSettings) -> Result<(), OpusError> {
        if self.applied == Some(*settings) {
            return Ok(());
        }
        let OpusSettings { bitrate, loss, voice, .. } = *settings;
        let opus = &mut self.opus;
        opus.set_bitrate(Bitrate::Value(bitrate))?;
        let narrows = voice && loss > 5 && FEC_NARROWS_BPS.contains(&bitrate);
        let told = if narrows { loss.max(WIDE_LOSS_PERCENT) } else { loss };
        opus.set_packet_loss(told.min(100) as u8)?;
        opus.set_signal(if voice { Signal::Voice } else { Signal::Auto })?;
        let wideband = voice && bitrate <= WIDEBAND_BPS_MAX;
        opus.set_bandwidth(if wideband { Bandwidth::Wide } else { Bandwidth::Auto })?;
        self.applied = Some(*settings);
        Ok(())
    }
}
