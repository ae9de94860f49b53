//! One stream of sound -> payloads: AIC-A where it can be had, embedded Opus where not.
//!
//! ```text
//!  48 kHz ─┬─ mono, 16 kHz ── engine ──┬─ history ── packets of 1-4 frames, redundancy, comfort
//!          └─ 5.5 ms later ── Opus ────┘  the same frame, when the engine does not answer
//! ```
//!
//! Invariant: every frame leaves in exactly one payload (or is background that nobody needs), at
//! most four frames after it came.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::FRAME;
use super::content::{Class, Content};
use super::engine::{Codec, CodecError, Encoder};
use super::fallback::{OPUS_FRAMES_MAX, OpusEncoder, WIDE_FRAME, alike, joined};
use super::packet::{Codes, FRAMES_MAX, Packet, PacketError, REDUNDANT_MAX, STAGES_MAX};
use super::payload::Payload;
use super::resample::Down;
use super::watch::Watch;

/// Frames between two descriptions of the background: 160 ms.
const COMFORT_EVERY: u64 = 8;

/// How long a file waits for the engine to start.
const START_MAX: Duration = Duration::from_secs(60);

/// Which codec is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// AIC-A for speech, Opus for everything else.
    #[default]
    Auto,
    /// AIC-A for everything.
    Aic,
    /// Opus for everything.
    Opus,
}

/// The codec of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// AIC-A.
    Aic,
    /// Embedded Opus.
    Opus,
}

impl Used {
    /// As properties and messages say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aic => "aic",
            Self::Opus => "opus",
        }
    }
}

/// What may change while a stream runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Which codec.
    pub wish: Wish,
    /// Stages of each frame, 1 to 12.
    pub stages: usize,
    /// Frames per packet, 1 to 4.
    pub frames: usize,
    /// Earlier frames repeated in each packet, 0 to 3.
    pub redundant: usize,
    /// Stages of those, 1 to 12.
    pub redundant_stages: usize,
    /// Of Opus, bit/s.
    pub opus_bitrate: u32,
    /// Its frames per packet, 1 to [`OPUS_FRAMES_MAX`].
    pub opus_frames: usize,
    /// Loss that it prepares for, in percent.
    pub opus_loss: u32,
    /// Discontinuous transmission.
    pub dtx: bool,
    /// Longest wait for the engine per frame.
    pub deadline: Duration,
    /// Wait for the engine as long as it takes, as files can.
    pub wait: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wish: Wish::Auto,
            stages: 6,
            frames: 1,
            redundant: 0,
            redundant_stages: 3,
            opus_bitrate: 24_000,
            opus_frames: 1,
            opus_loss: 0,
            dtx: false,
            deadline: Duration::from_millis(40),
            wait: false,
        }
    }
}

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// libopus refuses.
    #[error("Opus cannot encode")]
    Opus(#[from] opus::Error),
    /// A packet cannot be written.
    #[error("a packet cannot be written")]
    Packet(#[from] PacketError),
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Frames of 20 ms that came.
    pub frames: u64,
    /// Frames that went as AIC-A.
    pub aic: u64,
    /// Frames that went as Opus.
    pub opus: u64,
    /// Frames that went as Opus because the engine was not there, died or was late.
    pub fallback: u64,
    /// Deadlines that the engine missed.
    pub misses: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The bytes.
    pub payload: Vec<u8>,
    /// Which frame of the stream is its first that is not redundant, from 0.
    pub first: u64,
    /// How many frames of 20 ms it covers, without redundant ones.
    pub frames: u64,
    /// It is the first after a silence that was not sent: the RTP marker.
    pub spurt: bool,
    /// Nothing comes for a while.
    pub comfort: bool,
    /// Its codec.
    pub used: Used,
}

/// Sends one stream.
pub struct Sender {
    codec: Codec,
    encoder: Encoder,
    opus: OpusEncoder,
    down: Down,
    channels: usize,
    content: Content,
    class: Class,
    watch: Watch,
    /// Codes that wait for their packet, all stages.
    pending: Vec<Codes>,
    /// Which frame the first of them is.
    pending_from: u64,
    /// Opus packets of a frame each that wait for their packet, and which frame the first is.
    waiting: Vec<Vec<u8>>,
    waiting_from: u64,
    /// Codes before those.
    history: VecDeque<Codes>,
    at: u64,
    /// When the last comfort packet went, while nothing is sent.
    silent_since: Option<u64>,
    waited: bool,
    why: Option<CodecError>,
    stats: SendStats,
}

impl Sender {
    /// For interleaved 48 kHz sound of one or two channels.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(codec: Codec, channels: usize) -> Result<Self, opus::Error> {
        Ok(Self {
            encoder: codec.encoder(),
            codec,
            opus: OpusEncoder::new(channels)?,
            down: Down::default(),
            channels,
            content: Content::default(),
            class: Class::default(),
            watch: Watch::default(),
            pending: Vec::with_capacity(FRAMES_MAX),
            pending_from: 0,
            waiting: Vec::with_capacity(OPUS_FRAMES_MAX),
            waiting_from: 0,
            history: VecDeque::with_capacity(REDUNDANT_MAX),
            at: 0,
            silent_since: None,
            waited: false,
            why: None,
            stats: SendStats::default(),
        })
    }

    /// Counters.
    pub fn stats(&self) -> SendStats {
        SendStats { misses: self.watch.misses(), ..self.stats }
    }

    /// Why Opus is used although AIC-A was wanted.
    pub fn why(&self) -> Option<&CodecError> {
        self.why.as_ref()
    }

    /// What the sound is taken for.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Loudness of the last frame, root mean square in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        self.content.level_dbfs()
    }

    /// Takes 20 ms of interleaved samples (960 per channel) and appends what is to be sent.
    ///
    /// # Errors
    /// libopus refuses, or a setting is out of its range.
    pub fn frame(
        &mut self,
        samples: &[f32],
        settings: &Settings,
        out: &mut Vec<Sent>,
    ) -> Result<(), SendError> {
        let (sane, narrow) = self.narrow(samples);
        self.class = self.content.frame(&narrow);
        let wanted = match settings.wish {
            Wish::Auto => self.class == Class::Speech,
            Wish::Aic => true,
            Wish::Opus => false,
        };
        let codes = if wanted { self.ask(&narrow, settings) } else { None };
        if !wanted {
            self.watch.rested();
            self.why = None;
        }
        let how = (settings.opus_bitrate, settings.opus_loss);
        let packet = self.opus.frame(&sane, codes.is_none(), how)?;
        match codes {
            Some(codes) => {
                // What waits is older: it goes first.
                self.pack_opus(out)?;
                if self.pending.is_empty() {
                    self.pending_from = self.at;
                }
                self.pending.push(codes);
                self.aic(settings, out)?;
            }
            None => {
                // Likewise.
                self.pack(settings, false, out)?;
                self.history.clear();
                self.stats.fallback += u64::from(wanted);
                if let Some(opus) = packet {
                    self.stats.opus += 1;
                    self.add_opus(opus, settings, out)?;
                }
            }
        }
        self.at += 1;
        self.stats.frames += 1;
        Ok(())
    }

    /// Sends what waits for a full packet.
    ///
    /// # Errors
    /// As for [`Sender::frame`].
    pub fn finish(&mut self, settings: &Settings, out: &mut Vec<Sent>) -> Result<(), SendError> {
        self.pack_opus(out)?;
        self.pack(settings, false, out)
    }

    /// A frame of Opus was made.
    fn add_opus(
        &mut self,
        opus: Vec<u8>,
        settings: &Settings,
        out: &mut Vec<Sent>,
    ) -> Result<(), SendError> {
        if self.waiting.first().is_some_and(|first| !alike(first, &opus)) {
            self.pack_opus(out)?;
        }
        if self.waiting.is_empty() {
            self.waiting_from = self.at;
        }
        self.waiting.push(opus);
        match self.waiting.len() >= settings.opus_frames.clamp(1, OPUS_FRAMES_MAX) {
            true => self.pack_opus(out),
            false => Ok(()),
        }
    }

    /// Sends the Opus that waits, if any does.
    fn pack_opus(&mut self, out: &mut Vec<Sent>) -> Result<(), SendError> {
        let (packets, first) = (std::mem::take(&mut self.waiting), self.waiting_from);
        let count = packets.len() as u64;
        let opus = match <[Vec<u8>; 1]>::try_from(packets) {
            Ok([opus]) => opus,
            Err(packets) if packets.is_empty() => return Ok(()),
            Err(packets) => joined(&packets)?,
        };
        let payload = Payload::Opus(opus).write()?;
        let spurt = self.silent_since.take().is_some();
        self.put(out, payload, (first, count), (spurt, false), Used::Opus);
        Ok(())
    }

    /// Without what is no number, and as 16 kHz mono.
    fn narrow(&mut self, samples: &[f32]) -> (Vec<f32>, [f32; FRAME]) {
        let sane = |x: &f32| if x.is_finite() { x.clamp(-1.0, 1.0) } else { 0.0 };
        let mut sound: Vec<f32> = samples.iter().map(sane).collect();
        sound.resize(WIDE_FRAME * self.channels, 0.0);
        let mono: Vec<f32> = sound
            .chunks_exact(self.channels)
            .map(|s| s.iter().sum::<f32>() / self.channels as f32)
            .collect();
        let mut less = Vec::with_capacity(FRAME);
        self.down.push(&mono, &mut less);
        let mut narrow = [0.0; FRAME];
        narrow.copy_from_slice(&less[..FRAME]);
        (sound, narrow)
    }

    /// The codes of a frame, if the engine gives them in time and is trusted.
    fn ask(&mut self, frame: &[f32; FRAME], settings: &Settings) -> Option<Codes> {
        if settings.wait && !std::mem::replace(&mut self.waited, true) {
            // What is wrong shows below.
            let _ = self.codec.wait(START_MAX);
        }
        if !self.watch.may_ask(Instant::now()) {
            return None;
        }
        let deadline = if settings.wait { START_MAX } else { settings.deadline };
        match self.encoder.encode(frame, deadline) {
            Ok(codes) => {
                self.why = None;
                self.watch.came(settings.wait).then_some(codes)
            }
            Err(error) => {
                self.watch.failed(&error, Instant::now());
                self.why = Some(error);
                None
            }
        }
    }

    /// A frame was added to those that wait.
    fn aic(&mut self, settings: &Settings, out: &mut Vec<Sent>) -> Result<(), SendError> {
        self.stats.aic += 1;
        let silent = settings.dtx && !self.content.is_active();
        let Some(since) = self.silent_since.filter(|_| silent) else {
            if silent {
                self.silent_since = Some(self.at);
                return self.pack(settings, true, out);
            }
            if self.pending.len() >= settings.frames.clamp(1, FRAMES_MAX) {
                return self.pack(settings, false, out);
            }
            return Ok(());
        };
        if self.at - since >= COMFORT_EVERY {
            self.silent_since = Some(self.at);
            return self.pack(settings, true, out);
        }
        // Nobody needs to hear of this frame.
        self.remember();
        Ok(())
    }

    fn remember(&mut self) {
        self.history.extend(self.pending.drain(..));
        let over = self.history.len().saturating_sub(REDUNDANT_MAX);
        self.history.drain(..over);
    }

    /// Sends what waits, if anything does.
    fn pack(
        &mut self,
        settings: &Settings,
        comfort: bool,
        out: &mut Vec<Sent>,
    ) -> Result<(), SendError> {
        let count = self.pending.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let stages = settings.stages.clamp(1, STAGES_MAX);
        let redundant_stages = settings.redundant_stages.clamp(1, STAGES_MAX);
        let spurt = !comfort && self.silent_since.take().is_some();
        let repeat = if spurt || comfort { 0 } else { settings.redundant.min(self.history.len()) };
        let packet = Packet {
            frames: self.pending.iter().map(|c| c.truncated(stages)).collect(),
            redundant: self
                .history
                .range(self.history.len() - repeat..)
                .map(|c| c.truncated(redundant_stages))
                .collect(),
            comfort,
        };
        self.remember();
        let first = self.pending_from;
        self.put(out, packet.write()?, (first, count), (spurt, comfort), Used::Aic);
        Ok(())
    }

    fn put(
        &mut self,
        out: &mut Vec<Sent>,
        payload: Vec<u8>,
        (first, frames): (u64, u64),
        (spurt, comfort): (bool, bool),
        used: Used,
    ) {
        self.stats.bytes += payload.len() as u64;
        out.push(Sent { payload, first, frames, spurt, comfort, used });
    }
}
