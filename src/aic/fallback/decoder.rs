//! Opus packets -> audio, and concealment of lost ones.

use opusic_c::{Decoder, SampleRate, utils};

use super::{OpusError, WIDE_FRAME_SAMPLES, channels};

/// Longest Opus packet in samples per channel: 120 ms.
const OPUS_PACKET_SAMPLES_MAX: usize = 5_760;

/// The least complexity with all networks: deep concealment from 5, LACE at 6, NoLACE from 7
/// (libopus 1.6, `opus_decode_frame`).
const COMPLEXITY_LEVEL: u8 = 7;

/// Decodes packets, and conceals lost ones.
pub struct OpusDecoder {
    opus: Decoder,
    channels: usize,
}

impl OpusDecoder {
    /// A decoder with one or two output channels, whatever the packets contain.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(count: usize) -> Result<Self, OpusError> {
        let count = count.clamp(1, 2);
        let mut opus = Decoder::new(channels(count), SampleRate::Hz48000)?;
        opus.set_complexity(COMPLEXITY_LEVEL)?;
        Ok(Self { opus, channels: count })
    }

    /// The interleaved samples of a packet.
    ///
    /// # Errors
    /// The packet is invalid.
    pub fn packet(&mut self, packet: &[u8]) -> Result<Vec<f32>, OpusError> {
        let mut audio = vec![0.0; OPUS_PACKET_SAMPLES_MAX * self.channels];
        let count = self.opus.decode_float_to_slice(packet, &mut audio, false)?;
        audio.truncate(count * self.channels);
        Ok(audio)
    }

    /// The lost `frames` of 20 ms before a packet, at most [`redundancy`] of it, from the redundancy
    /// in it.
    ///
    /// # Errors
    /// The packet is invalid.
    pub fn before(&mut self, packet: &[u8], frames: usize) -> Result<Vec<f32>, OpusError> {
        let mut audio = vec![0.0; frames * WIDE_FRAME_SAMPLES * self.channels];
        self.opus.decode_float_to_slice(packet, &mut audio, true)?;
        Ok(audio)
    }

    /// 20 ms of concealment for a lost packet.
    ///
    /// # Errors
    /// libopus fails.
    pub fn lost(&mut self) -> Result<Vec<f32>, OpusError> {
        let mut audio = vec![0.0; WIDE_FRAME_SAMPLES * self.channels];
        self.opus.decode_float_to_slice(&[], &mut audio, false)?;
        Ok(audio)
    }

    /// Forgets past packets.
    pub fn reset(&mut self) {
        if let Err(error) = self.opus.reset() {
            tracing::warn!(error = error.message(), "Opus cannot begin anew");
        }
    }
}

/// Lost frames of 20 ms right before a packet that its in-band FEC may replace: as many as each Opus
/// frame of it has.
pub fn redundancy(packet: &[u8]) -> usize {
    let length = utils::get_nb_samples(packet, SampleRate::Hz48000).unwrap_or(0);
    let frames = utils::get_nb_frames(packet).unwrap_or(1).max(1);
    (length / frames / WIDE_FRAME_SAMPLES).max(1)
}
