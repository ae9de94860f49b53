//! Payloads of one stream -> sound of 48 kHz, with nothing missing.
//!
//! Every payload says how many frames are missing before it; they are decoded from its redundant
//! frames, bridged by the codec that was last, or are background after a comfort frame. A change of
//! codec is a crossfade from what the old one would have gone on with.
//!
//! Invariant: what comes out is as long as what is missing and the payload together, whatever fails.

mod splice;
mod voice;

use splice::{Tail, crossfade};
use voice::Voice;

use super::engine::{Codec, CodecError};
use super::fallback::{OpusDecoder, WIDE_FRAME};
use super::packet::{Codes, Packet};
use super::patience::Patience;
use super::payload::Payload;
use super::send::Used;

/// Most missing frames that are filled: 2 s. After a longer gap the stream begins anew.
pub const MISSING_MAX: usize = 100;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveStats {
    /// Frames of 20 ms that were made.
    pub frames: u64,
    /// Frames that were bridged.
    pub concealed: u64,
    /// Missing frames that a later packet brought again.
    pub recovered: u64,
    /// Frames of background.
    pub comfort: u64,
    /// Payloads that are none.
    pub damaged: u64,
    /// Deadlines that the engine missed.
    pub misses: u64,
}

/// Receives one stream.
pub struct Receiver {
    voice: Voice,
    opus: OpusDecoder,
    channels: usize,
    /// Codec of the last payload.
    last: Option<Used>,
    /// Redundant frames of the last packet.
    redundant: usize,
    /// The sender has stopped, and the background is this loud (root mean square).
    background: Option<f32>,
    tail: Tail,
    stats: ReceiveStats,
}

impl Receiver {
    /// Makes interleaved sound of one or two channels. `foreign`: the sender has other weights, so
    /// its AIC-A packets cannot be decoded.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(codec: Codec, channels: usize, foreign: bool) -> Result<Self, opus::Error> {
        let channels = channels.clamp(1, 2);
        Ok(Self {
            voice: Voice::new(codec, channels, foreign),
            opus: OpusDecoder::new(channels)?,
            channels,
            last: None,
            redundant: 0,
            background: None,
            tail: Tail::new(channels),
            stats: ReceiveStats::default(),
        })
    }

    /// How the engine is waited for from now on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.voice.patience = patience;
    }

    /// Counters.
    pub fn stats(&self) -> ReceiveStats {
        ReceiveStats { misses: self.voice.misses(), ..self.stats }
    }

    /// Why AIC-A packets cannot be decoded at present.
    pub fn trouble(&self) -> Option<&CodecError> {
        self.voice.trouble()
    }

    /// Codec of the last payload.
    pub fn used(&self) -> Option<Used> {
        self.last
    }

    /// The sender has said that it stops for a while.
    pub fn is_silent(&self) -> bool {
        self.background.is_some()
    }

    /// Missing frames that the next packet may bring again, if it is like the last one.
    pub fn worth_waiting(&self) -> usize {
        self.redundant
    }

    /// A payload that cannot be read came; its frames will be missing.
    pub fn damaged(&mut self) {
        self.stats.damaged += 1;
    }

    /// A payload came that is not what was sent: AIC-A is given up for a while, and its frames are
    /// missing.
    pub fn altered(&mut self) {
        self.stats.damaged += 1;
        self.voice.altered();
    }

    /// The sender has other weights from now on, or these.
    pub fn set_foreign(&mut self, foreign: bool) {
        self.voice.foreign = foreign;
    }

    /// The sound of `missing` frames (at most [`MISSING_MAX`]) and then of the payload, appended to
    /// `out`, interleaved.
    pub fn payload(&mut self, payload: &Payload, missing: usize, out: &mut Vec<f32>) {
        let start = out.len();
        match payload {
            Payload::Aic(packet) => self.aic(packet, missing, out),
            Payload::Opus(opus) => {
                // A packet may repeat what came right before it.
                let again = usize::from(missing > 0 && self.last == Some(Used::Opus));
                self.missing(missing - again, out);
                if again > 0 {
                    match self.opus.before(opus) {
                        Ok(sound) => out.extend(sound),
                        Err(_) => self.bridge(out),
                    }
                    self.stats.recovered += 1;
                    self.tail.keep(out);
                }
                self.turn(Used::Opus, out, |receiver, out| match receiver.opus.packet(opus) {
                    Ok(sound) => out.extend(sound),
                    Err(_) => {
                        receiver.stats.damaged += 1;
                        receiver.bridge(out);
                    }
                });
                self.redundant = 1;
                self.background = None;
                self.voice.look();
            }
        }
        self.stats.frames += ((out.len() - start) / (WIDE_FRAME * self.channels)) as u64;
        self.tail.keep(out);
    }

    /// So many missing frames, now, without waiting for a payload; at most [`MISSING_MAX`].
    pub fn conceal(&mut self, frames: usize, out: &mut Vec<f32>) {
        self.stats.frames += frames.min(MISSING_MAX) as u64;
        self.missing(frames, out);
        self.voice.look();
    }

    fn missing(&mut self, frames: usize, out: &mut Vec<f32>) {
        for _ in 0..frames.min(MISSING_MAX) {
            match self.background {
                Some(level) => {
                    self.stats.comfort += 1;
                    self.voice.background(level, out);
                }
                None => {
                    self.stats.concealed += 1;
                    self.bridge(out);
                }
            }
            self.tail.keep(out);
        }
    }

    /// What comes next does not continue what came before.
    pub fn reset(&mut self) {
        self.voice.reset();
        self.opus.reset();
        (self.last, self.background, self.redundant) = (None, None, 0);
        self.tail.reset();
    }

    fn aic(&mut self, packet: &Packet, missing: usize, out: &mut Vec<f32>) {
        // After a stop nothing is missing: redundant frames were left out on purpose.
        let again = match self.background {
            Some(_) => 0,
            None => packet.redundant.len().min(missing),
        };
        self.missing(missing - again, out);
        self.stats.recovered += again as u64;
        let known = packet.redundant[packet.redundant.len() - again..].iter().chain(&packet.frames);
        let stopped = self.background.take();
        for (at, codes) in known.enumerate() {
            let from = out.len();
            self.turn(Used::Aic, out, |receiver, out| receiver.decode(Some(*codes), out));
            if let (0, Some(level)) = (at, stopped) {
                let mut old = Vec::new();
                self.voice.background(level, &mut old);
                crossfade(&old, &mut out[from..], self.channels);
            }
            self.tail.keep(out);
        }
        self.redundant = packet.redundant.len();
        if packet.comfort {
            self.background = Some(self.tail.loudness().min(0.02));
        }
    }

    /// Runs `make` for a payload of this codec, with a crossfade if the codec changes.
    fn turn(&mut self, to: Used, out: &mut Vec<f32>, make: impl FnOnce(&mut Self, &mut Vec<f32>)) {
        let changes = self.last.is_some_and(|last| last != to);
        let mut old = Vec::new();
        if changes {
            self.bridge(&mut old);
        }
        if self.last != Some(to) {
            match to {
                Used::Aic => self.voice.reset(),
                Used::Opus => self.opus.reset(),
            }
            self.last = Some(to);
        }
        let from = out.len();
        make(self, out);
        crossfade(&old, &mut out[from..], self.channels);
    }

    /// 20 ms as the last codec would go on.
    fn bridge(&mut self, out: &mut Vec<f32>) {
        match self.last {
            Some(Used::Aic) => self.decode(None, out),
            Some(Used::Opus) => match self.opus.lost() {
                Ok(sound) => out.extend(sound),
                Err(_) => self.tail.repeat(out),
            },
            None => out.resize(out.len() + WIDE_FRAME * self.channels, 0.0),
        }
    }

    /// 20 ms of the engine, or something like it.
    fn decode(&mut self, codes: Option<Codes>, out: &mut Vec<f32>) {
        if self.voice.decode(codes, out) {
            self.tail.restored();
        } else {
            // What never came is counted where it is missed.
            self.stats.concealed += u64::from(codes.is_some());
            self.tail.repeat(out);
        }
    }
}
