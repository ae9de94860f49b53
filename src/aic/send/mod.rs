//! One stream of audio -> payloads: AIC-A if available, else embedded Opus.
//!
//! ```text
//!  48 kHz ─┬─ mono, 16 kHz ── 4.5 ms ── engine ──┬─ history ── packets of 1-4 frames
//!          └─ Opus ──────────────────────────────┘  the same frame, when there is no engine
//! ```
//!
//! Invariant: every frame is sent in exactly one payload (or is background that is not needed), at
//! most four frames after its arrival.

mod packer;
mod sent;
mod settings;

use std::collections::VecDeque;
use std::time::Instant;

use auralink_codec::Codes;
use packer::Packer;

use super::FRAME_SAMPLES;
use super::content::{Class, Content};
use super::engine::{Codec, CodecError, Encoder};
use super::engine_health::EngineHealth;
use super::fallback::{AIC_WAIT_SAMPLES, OpusEncoder, OpusError, OpusSettings, WIDE_FRAME_SAMPLES};
use super::packet::rate;
use super::resample::Down;

pub use sent::{OutgoingPacket, SendError, Used};
pub use settings::{CodecPolicy, Settings};

/// Running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Frames of 20 ms that arrived.
    pub frames: u64,
    /// Frames that were sent as AIC-A.
    pub aic: u64,
    /// Frames that were sent as Opus.
    pub opus: u64,
    /// Frames that were sent as Opus because the engine was unavailable, died or was late.
    pub fallback: u64,
    /// Deadlines that the engine missed.
    pub misses: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// Sends one stream.
pub struct Sender {
    codec: Codec,
    encoder: Encoder,
    opus: OpusEncoder,
    down: Down,
    /// Samples at 16 kHz that precede the next frame.
    before: VecDeque<f32>,
    channels: usize,
    content: Content,
    class: Class,
    watch: EngineHealth,
    packer: Packer,
    waited: bool,
    why: Option<CodecError>,
    stats: SendStats,
}

impl Sender {
    /// A sender of interleaved audio at 48 kHz with one or two channels.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new(codec: Codec, channels: usize) -> Result<Self, OpusError> {
        Ok(Self {
            encoder: Encoder::new(codec.clone()),
            packer: Packer::new(codec.clone()),
            codec,
            opus: OpusEncoder::new(channels)?,
            down: Down::default(),
            before: vec![0.0; AIC_WAIT_SAMPLES].into(),
            channels,
            content: Content::default(),
            class: Class::default(),
            watch: EngineHealth::default(),
            waited: false,
            why: None,
            stats: SendStats::default(),
        })
    }

    /// Running totals.
    pub fn stats(&self) -> SendStats {
        SendStats {
            frames: self.packer.frames(),
            bytes: self.packer.bytes(),
            misses: self.watch.misses(),
            ..self.stats
        }
    }

    /// Why Opus is used although AIC-A was wanted.
    pub fn why(&self) -> Option<&CodecError> {
        self.why.as_ref()
    }

    /// Current classification of the audio.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Loudness of the last frame, root mean square in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        self.content.level_dbfs()
    }

    /// Takes 20 ms of interleaved samples (960 per channel) and appends the payloads to send.
    ///
    /// # Errors
    /// libopus fails, or a setting is out of range.
    pub fn frame(
        &mut self,
        samples: &[f32],
        settings: &Settings,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        let (sane, narrow) = self.narrow(samples);
        self.class = self.content.frame(&narrow);
        let wanted = match settings.wish {
            CodecPolicy::Auto => self.class == Class::Speech,
            CodecPolicy::Aic => true,
            CodecPolicy::Opus => false,
        };
        let codes = if wanted { self.ask(&narrow, settings) } else { None };
        if !wanted {
            self.watch.rested();
            self.why = None;
        }
        let how = OpusSettings {
            bitrate: settings.opus_bitrate,
            frames: settings.opus_frames,
            loss: settings.opus_loss,
            voice: self.class == Class::Speech,
        };
        if codes.is_none() {
            self.stats.fallback += u64::from(wanted);
            self.stats.opus += 1;
            self.packer.opus_frame(settings, out)?;
        }
        if let Some(packet) = self.opus.frame(&sane, codes.is_none(), &how)? {
            self.packer.opus(packet, out)?;
        }
        let Some(codes) = codes else { return Ok(()) };
        self.stats.aic += 1;
        let silent = settings.dtx && !self.content.is_active();
        self.packer.aic(codes, silent, settings, out)
    }

    /// Sends the frames that wait for a full packet.
    ///
    /// # Errors
    /// As for [`Sender::frame`].
    pub fn finish(
        &mut self,
        settings: &Settings,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<(), SendError> {
        if let Some(packet) = self.opus.finish()? {
            self.packer.opus(packet, out)?;
        }
        self.packer.finish(settings, out)
    }

    /// The samples, finite and limited, and the same as 16 kHz mono, as late as Opus is.
    fn narrow(&mut self, samples: &[f32]) -> (Vec<f32>, [f32; FRAME_SAMPLES]) {
        let sane = |x: &f32| if x.is_finite() { x.clamp(-1.0, 1.0) } else { 0.0 };
        let mut audio: Vec<f32> = samples.iter().map(sane).collect();
        audio.resize(WIDE_FRAME_SAMPLES * self.channels, 0.0);
        let mono: Vec<f32> = audio
            .chunks_exact(self.channels)
            .map(|s| s.iter().sum::<f32>() / self.channels as f32)
            .collect();
        let mut less = Vec::with_capacity(FRAME_SAMPLES);
        self.down.push(&mono, &mut less);
        let mut narrow = [0.0; FRAME_SAMPLES];
        self.before.extend(less);
        for (to, from) in narrow.iter_mut().zip(self.before.drain(..FRAME_SAMPLES)) {
            *to = from;
        }
        (audio, narrow)
    }

    /// The codes of a frame, if the engine returns them in time and is trusted.
    fn ask(&mut self, frame: &[f32; FRAME_SAMPLES], settings: &Settings) -> Option<Codes> {
        let limit = settings.engine_timeout.limit(&self.codec, &mut self.waited);
        if !self.watch.may_ask(Instant::now()) {
            return None;
        }
        match self.encoder.encode(frame, rate(settings.stages), limit) {
            Ok(codes) => {
                self.why = None;
                self.watch.came(settings.engine_timeout.wait).then_some(codes)
            }
            Err(error) => {
                self.watch.failed(&error, Instant::now());
                self.why = Some(error);
                None
            }
        }
    }
}
