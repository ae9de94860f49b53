//! Payloads of one stream -> audio at 48 kHz, without gaps.
//!
//! Every payload comes with the number of frames missing before it. These are decoded from its
//! redundant frames, concealed by the previous codec, or filled with background after a comfort
//! frame. A change of codec is a crossfade from the old codec's concealment.
//!
//! Invariant: the output is as long as the missing frames and the payload together, whatever fails.

mod splice;
mod voice;

use auralink_codec::Codes;
use splice::{Tail, crossfade};
use voice::Voice;

use super::engine::{Codec, CodecError};
use super::engine_timeout::EngineTimeout;
use super::fallback::{OpusDecoder, OpusError, WIDE_FRAME_SAMPLES, redundancy};
use super::packet::{Coded, Packet};
use super::payload::Payload;
use super::send::Used;

/// Most missing frames that are filled: 2 s. After a longer gap the stream starts afresh.
pub const MISSING_FRAMES_MAX: usize = 100;

/// Running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveStats {
    /// Frames of 20 ms that were output.
    pub frames: u64,
    /// Frames that were concealed.
    pub concealed: u64,
    /// Missing frames that a later packet repeated.
    pub recovered: u64,
    /// Frames of background.
    pub comfort: u64,
    /// Payloads that could not be read or decoded.
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
    /// Frames before it that the last packet repeats.
    redundant: usize,
    /// Background level (root mean square) while the sender has stopped.
    background: Option<f32>,
    tail: Tail,
    stats: ReceiveStats,
}

impl Receiver {
    /// A receiver with interleaved output of one or two channels. `foreign`: the sender has other
    /// weights, so its AIC-A packets cannot be decoded.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(codec: Codec, channels: usize, foreign: bool) -> Result<Self, OpusError> {
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

    /// Sets how to wait for the engine from now on.
    pub fn set_engine_timeout(&mut self, engine_timeout: EngineTimeout) {
        self.voice.engine_timeout = engine_timeout;
    }

    /// Running totals.
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

    /// Whether the sender has announced that it stops for a while.
    pub fn is_silent(&self) -> bool {
        self.background.is_some()
    }

    /// Missing frames that the next packet may repeat, if it is like the last one.
    pub fn worth_waiting(&self) -> usize {
        self.redundant
    }

    /// Reports a payload that cannot be read; its frames will be missing.
    pub fn damaged(&mut self) {
        self.stats.damaged += 1;
    }

    /// Reports a payload that was altered on the way: AIC-A is not used for a while, and its frames
    /// are missing.
    pub fn altered(&mut self) {
        self.stats.damaged += 1;
        self.voice.altered();
    }

    /// Sets whether the sender has other weights.
    pub fn set_foreign(&mut self, foreign: bool) {
        self.voice.foreign = foreign;
    }

    /// Appends the audio of `missing` frames (at most [`MISSING_FRAMES_MAX`]) and then of the
    /// payload to `out`, interleaved.
    pub fn payload(&mut self, payload: &Payload, missing: usize, out: &mut Vec<f32>) {
        let start = out.len();
        match payload {
            Payload::Aic(coded) => match self.voice.open(coded) {
                Ok(Some(packet)) => self.aic(&packet, missing, out),
                Ok(None) => self.unknown(coded, missing, out),
                Err(_) => {
                    self.stats.damaged += 1;
                    self.unknown(coded, missing, out);
                }
            },
            Payload::Opus(opus) => {
                let redundant = redundancy(opus);
                // After a change of codec the past is not that of this packet.
                let again = if self.last == Some(Used::Opus) { missing.min(redundant) } else { 0 };
                self.missing(missing - again, out);
                self.repeated(opus, again, out);
                self.turn(Used::Opus, out, |receiver, out| match receiver.opus.packet(opus) {
                    Ok(audio) => out.extend(audio),
                    Err(_) => {
                        receiver.stats.damaged += 1;
                        receiver.bridge(out);
                    }
                });
                self.redundant = redundant;
                self.background = None;
                self.voice.look();
            }
        }
        self.stats.frames += ((out.len() - start) / (WIDE_FRAME_SAMPLES * self.channels)) as u64;
        self.tail.keep(out);
    }

    /// Appends missing frames now, without waiting for a payload; at most [`MISSING_FRAMES_MAX`].
    pub fn conceal(&mut self, frames: usize, out: &mut Vec<f32>) {
        self.stats.frames += frames.min(MISSING_FRAMES_MAX) as u64;
        self.missing(frames, out);
        self.voice.look();
    }

    fn missing(&mut self, frames: usize, out: &mut Vec<f32>) {
        for _ in 0..frames.min(MISSING_FRAMES_MAX) {
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

    /// Resets: the next payload does not continue the last one.
    pub fn reset(&mut self) {
        self.voice.reset();
        self.opus.reset();
        (self.last, self.background, self.redundant) = (None, None, 0);
        self.tail.reset();
    }

    fn aic(&mut self, packet: &Packet, missing: usize, out: &mut Vec<f32>) {
        // After a stop nothing is missing: the redundant frames were left out on purpose.
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

    /// The missing frames that an Opus packet repeats.
    fn repeated(&mut self, opus: &[u8], frames: usize, out: &mut Vec<f32>) {
        if frames == 0 {
            return;
        }
        match self.opus.before(opus, frames) {
            Ok(audio) => out.extend(audio),
            Err(_) => (0..frames).for_each(|_| self.bridge(out)),
        }
        self.stats.recovered += frames as u64;
        self.tail.keep(out);
    }

    /// A packet whose frames are not known: only how many there are.
    fn unknown(&mut self, coded: &Coded, missing: usize, out: &mut Vec<f32>) {
        self.missing(missing, out);
        for _ in 0..coded.header().frames {
            self.stats.concealed += 1;
            self.turn(Used::Aic, out, |receiver, out| receiver.decode(None, out));
            self.tail.keep(out);
        }
        (self.redundant, self.background) = (0, None);
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

    /// Appends 20 ms of concealment by the last codec.
    fn bridge(&mut self, out: &mut Vec<f32>) {
        match self.last {
            Some(Used::Aic) => self.decode(None, out),
            Some(Used::Opus) => match self.opus.lost() {
                Ok(audio) => out.extend(audio),
                Err(_) => self.tail.repeat(out),
            },
            None => out.resize(out.len() + WIDE_FRAME_SAMPLES * self.channels, 0.0),
        }
    }

    /// Appends 20 ms from the engine, or a repeat of the last audio.
    fn decode(&mut self, codes: Option<Codes>, out: &mut Vec<f32>) {
        if self.voice.decode(codes, out) {
            self.tail.restored();
        } else {
            // Lost frames are counted by the caller.
            self.stats.concealed += u64::from(codes.is_some());
            self.tail.repeat(out);
        }
    }
}
