//! Samples of a voice -> packets at their times, for files and pages: no loss, no redundancy, and time
//! that was not heard is left out. Trunks have [`send`](super::send).

use std::sync::Arc;

use auralink_codec::{Codes, EncoderState, FRAME_SAMPLES, Model};

use super::packet::{Coded, FRAMES_MAX, Packet, PacketError};

/// Stages of each frame: 3 kbit/s.
const FRAME_STAGES: usize = 18;

/// Packets of one voice. Times are in samples from where it began.
pub struct VoicePackets {
    model: Arc<Model>,
    state: EncoderState,
    packet_samples: usize,
    /// Samples that wait for the rest of their packet.
    pending: Vec<f32>,
    /// Time of the first of them.
    first: u64,
}

impl VoicePackets {
    /// A voice before its first sample, in packets of so many frames, 1 to [`FRAMES_MAX`].
    pub fn new(model: Arc<Model>, frames: usize) -> Self {
        let packet_samples = frames.clamp(1, FRAMES_MAX) * FRAME_SAMPLES;
        let (state, pending) = (model.encoder_state(), Vec::with_capacity(packet_samples));
        Self { model, state, packet_samples, pending, first: 0 }
    }

    /// Time behind the newest sample.
    pub fn end(&self) -> u64 {
        self.first + self.pending.len() as u64
    }

    /// Takes samples at 16 kHz; returns the packets that they complete, with the time of each.
    ///
    /// # Errors
    /// A packet cannot be written, which no sample causes.
    pub fn append(&mut self, mut samples: &[f32]) -> Result<Vec<(u64, Coded)>, PacketError> {
        let mut completed = Vec::new();
        while !samples.is_empty() {
            let missing = self.packet_samples - self.pending.len();
            let (now, later) = samples.split_at(missing.min(samples.len()));
            self.pending.extend_from_slice(now);
            samples = later;
            if self.pending.len() == self.packet_samples {
                completed.extend(self.finish()?);
            }
        }
        Ok(completed)
    }

    /// Goes on at a later time: what is between was not heard. Returns the packet of what waits.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn skip_to(&mut self, sample: u64) -> Result<Option<(u64, Coded)>, PacketError> {
        let rest = self.finish()?;
        self.first = self.first.max(sample);
        self.state = self.model.encoder_state();
        Ok(rest)
    }

    /// The packet of what waits: whole frames, the rest of the last one silent.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn finish(&mut self) -> Result<Option<(u64, Coded)>, PacketError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        self.pending.resize(self.pending.len().next_multiple_of(FRAME_SAMPLES), 0.0);
        for sample in &mut self.pending {
            *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        let latents = self.model.analyse(&self.pending, &mut [&mut self.state]);
        let frames: Vec<Codes> =
            latents.iter().map(|l| self.model.quantise(l, FRAME_STAGES)).collect();
        let packet = Packet { frames, ..Packet::default() };
        let coded = Coded::read(&packet.write(&self.model)?)?;
        let first = self.first;
        self.first += self.pending.len() as u64;
        self.pending.clear();
        Ok(Some((first, coded)))
    }
}
