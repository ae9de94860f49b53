//! Frames of either codec -> payloads: decides which frames share a packet, what it repeats, and
//! what silence leaves out.

use std::collections::VecDeque;

use auralink_codec::Codes;

use super::{OutgoingPacket, SendError, Settings, Used};
use crate::aic::engine::Codec;
use crate::aic::fallback::OpusPacket;
use crate::aic::packet::{FRAMES_MAX, Packet, REDUNDANT_FRAMES_MAX, REDUNDANT_STAGES};
use crate::aic::payload::Payload;

/// Frames between two descriptions of the background: 160 ms.
const COMFORT_NOISE_INTERVAL_FRAMES: u64 = 8;

/// Packs one stream: gets every frame once, in one of the codecs.
pub(super) struct Packer {
    /// Has the weights that the frames' codes were made with.
    codec: Codec,
    /// Codes that wait for their packet, all of the same rate.
    pending: Vec<Codes>,
    /// Index of the first of them.
    pending_from: u64,
    /// Frames that wait in the Opus encoder for their packet.
    in_opus: u64,
    /// Codes before the pending ones.
    history: VecDeque<Codes>,
    /// Frames that arrived.
    at: u64,
    /// Frame of the last comfort packet, while nothing is sent.
    silent_since: Option<u64>,
    /// Bytes of payload so far.
    bytes: u64,
}

impl Packer {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            pending: Vec::with_capacity(FRAMES_MAX),
            pending_from: 0,
            in_opus: 0,
            history: VecDeque::with_capacity(REDUNDANT_FRAMES_MAX),
            at: 0,
            silent_since: None,
            bytes: 0,
        }
    }

    /// Frames that arrived.
    pub(super) fn frames(&self) -> u64 {
        self.at
    }

    /// Bytes of payload sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next frame as AIC-A, after the packet of those that wait in Opus. `silent`: it
    /// contains only background and need not be sent.
    pub(super) fn aic(
        &mut self,
        codes: Codes,
        silent: bool,
        settings: &Settings,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        if self.pending.first().is_some_and(|first| first.stages() != codes.stages()) {
            self.pack_aic(settings, false, out)?;
        }
        if self.pending.is_empty() {
            self.pending_from = self.at;
        }
        self.pending.push(codes);
        match self.silent_since {
            // This frame is not sent.
            Some(since) if silent && self.at - since < COMFORT_NOISE_INTERVAL_FRAMES => {
                self.remember()
            }
            _ if silent => {
                self.silent_since = Some(self.at);
                self.pack_aic(settings, true, out)?;
            }
            _ if self.pending.len() >= settings.frames.clamp(1, FRAMES_MAX) => {
                self.pack_aic(settings, false, out)?;
            }
            _ => {}
        }
        self.at += 1;
        Ok(())
    }

    /// The next frame goes to the Opus encoder.
    pub(super) fn opus_frame(
        &mut self,
        settings: &Settings,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        // Waiting frames are older and go first.
        self.pack_aic(settings, false, out)?;
        self.history.clear();
        self.in_opus += 1;
        self.at += 1;
        Ok(())
    }

    /// Takes the packet of the oldest frames in the Opus encoder.
    pub(super) fn opus(
        &mut self,
        packet: OpusPacket,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        let (first, frames) = (self.at - self.in_opus, packet.frames as u64);
        self.in_opus = self.in_opus.saturating_sub(frames);
        let payload = Payload::Opus(packet.bytes).write()?;
        let spurt = self.silent_since.take().is_some();
        self.put(out, payload, (first, frames), (spurt, false), Used::Opus);
        Ok(())
    }

    /// Sends the frames of AIC-A that wait for a full packet.
    pub(super) fn finish(
        &mut self,
        settings: &Settings,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        self.pack_aic(settings, false, out)
    }

    /// Sends the waiting codes, if any.
    fn pack_aic(
        &mut self,
        settings: &Settings,
        comfort: bool,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        let count = self.pending.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let spurt = !comfort && self.silent_since.take().is_some();
        let repeat = if spurt || comfort { 0 } else { settings.redundant.min(self.history.len()) };
        let packet = Packet {
            frames: self.pending.clone(),
            redundant: self
                .history
                .range(self.history.len() - repeat..)
                .map(|c| c.truncated(REDUNDANT_STAGES))
                .collect(),
            comfort,
            constant: settings.constant,
        };
        self.remember();
        let model = self.codec.loaded()?;
        let payload = packet.write(&model)?;
        self.put(out, payload, (self.pending_from, count), (spurt, comfort), Used::Aic);
        Ok(())
    }

    fn remember(&mut self) {
        self.history.extend(self.pending.drain(..));
        let over = self.history.len().saturating_sub(REDUNDANT_FRAMES_MAX);
        self.history.drain(..over);
    }

    fn put(
        &mut self,
        out: &mut Vec<OutgoingPacket>,
        payload: Vec<u8>,
        (first, frames): (u64, u64),
        (spurt, comfort): (bool, bool),
        used: Used,
    ) {
        self.bytes += payload.len() as u64;
        out.push(OutgoingPacket { payload, first, frames, spurt, comfort, used });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::aic::fallback::OPUS_FRAMES_MAX;

    const SILENCE: u8 = 1;
    const OPUS: u8 = 2;

    proptest! {
        #[test]
        fn every_frame_leaves_once_but_what_is_silence(
            runs in proptest::collection::vec((0..3_u8, FRAMES_MAX..20), 1..12),
            frames in 1..=FRAMES_MAX,
            opus_frames in 1..=OPUS_FRAMES_MAX,
            redundant in 0..=REDUNDANT_FRAMES_MAX,
        ) {
            let settings = Settings { frames, opus_frames, redundant, ..Settings::default() };
            let codec = Codec::shared();
            codec.wait(Duration::from_secs(60)).expect("weights of the source tree");
            let (mut packer, mut out) = (Packer::new(codec), Vec::new());
            let kinds: Vec<u8> =
                runs.iter().flat_map(|(kind, n)| std::iter::repeat_n(*kind, *n)).collect();
            let mut in_encoder = 0;
            let flush = |at_least: usize, waits: &mut usize, packer: &mut Packer, out: &mut _| {
                if *waits > 0 && *waits >= at_least {
                    let packet = OpusPacket { bytes: vec![0x08, 0, 0], frames: std::mem::take(waits) };
                    packer.opus(packet, out).expect("packs");
                }
            };
            for kind in &kinds {
                if *kind == OPUS {
                    packer.opus_frame(&settings, &mut out).expect("packs");
                    in_encoder += 1;
                    flush(opus_frames, &mut in_encoder, &mut packer, &mut out);
                } else {
                    flush(0, &mut in_encoder, &mut packer, &mut out);
                    let codes = Codes::new(&[1; 14]);
                    packer.aic(codes, *kind == SILENCE, &settings, &mut out).expect("packs");
                }
            }
            flush(0, &mut in_encoder, &mut packer, &mut out);
            packer.finish(&settings, &mut out).expect("packs");
            let mut next = 0;
            let end = kinds.len() as u64;
            for (first, frames) in out.iter().map(|s| (s.first, s.frames)).chain([(end, 0)]) {
                prop_assert!(next <= first, "{first} twice");
                let left_out = &kinds[next as usize..first as usize];
                prop_assert!(left_out.iter().all(|k| *k == SILENCE), "{next}: {left_out:?}");
                next = first + frames;
            }
            prop_assert_eq!(packer.frames(), end);
            prop_assert_eq!(packer.bytes(), out.iter().map(|s| s.payload.len() as u64).sum::<u64>());
        }
    }
}
