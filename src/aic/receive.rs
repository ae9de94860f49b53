//! Payloads of one stream -> sound of 48 kHz, with nothing missing.
//!
//! Every payload says how many frames are missing before it; they are decoded from its redundant
//! frames, bridged by the codec that was last, or are background after a comfort frame. A change of
//! codec is a crossfade from what the old one would have gone on with.
//!
//! Invariant: what comes out is as long as what is missing and the payload together, whatever fails.

use std::time::{Duration, Instant};

use super::engine::{Codec, CodecError, Decoder};
use super::fallback::{OpusDecoder, WIDE_FRAME};
use super::packet::{Codes, Packet};
use super::payload::Payload;
use super::resample::Up;
use super::send::Used;
use super::watch::Watch;

/// Most missing frames that are filled: 2 s. After a longer gap the stream begins anew.
pub const MISSING_MAX: usize = 100;

/// The old codec alone, until the new one has come up, in samples of 48 kHz: 8 ms.
const HOLD: usize = 384;
/// From the old codec to the new one: 10 ms.
const FADE: usize = 480;
/// Frames that are repeated in place of what the engine owes, before silence.
const REPEATS: f32 = 4.0;
/// How long a file waits for the engine to start.
const START_MAX: Duration = Duration::from_secs(60);

/// How the engine is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest wait per frame.
    pub deadline: Duration,
    /// Wait as long as it takes, as files can.
    pub wait: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(40), wait: false }
    }
}

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
    codec: Codec,
    decoder: Decoder,
    opus: OpusDecoder,
    up: Up,
    channels: usize,
    patience: Patience,
    watch: Watch,
    /// Codec of the last payload.
    last: Option<Used>,
    /// Redundant frames of the last packet.
    redundant: usize,
    /// The sender has stopped, and the background is this loud (root mean square).
    background: Option<f32>,
    noise: Noise,
    /// The last 20 ms that came out, interleaved.
    tail: Vec<f32>,
    /// How often the tail was repeated.
    repeats: u32,
    foreign: bool,
    waited: bool,
    trouble: Option<CodecError>,
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
            decoder: codec.decoder(),
            codec,
            opus: OpusDecoder::new(channels)?,
            up: Up::default(),
            channels,
            patience: Patience::default(),
            watch: Watch::default(),
            last: None,
            redundant: 0,
            background: None,
            noise: Noise(1),
            tail: vec![0.0; WIDE_FRAME * channels],
            repeats: 0,
            foreign,
            waited: false,
            trouble: None,
            stats: ReceiveStats::default(),
        })
    }

    /// How the engine is waited for from now on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Counters.
    pub fn stats(&self) -> ReceiveStats {
        ReceiveStats { misses: self.watch.misses(), ..self.stats }
    }

    /// Why AIC-A packets cannot be decoded at present.
    pub fn trouble(&self) -> Option<&CodecError> {
        self.trouble.as_ref()
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
        self.watch.failed(&CodecError::Altered, Instant::now());
        self.trouble = Some(CodecError::Altered);
    }

    /// The sender has other weights from now on, or these.
    pub fn set_foreign(&mut self, foreign: bool) {
        self.foreign = foreign;
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
                    self.keep(out);
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
                self.look();
            }
        }
        self.stats.frames += ((out.len() - start) / (WIDE_FRAME * self.channels)) as u64;
        self.keep(out);
    }

    /// So many missing frames, now, without waiting for a payload; at most [`MISSING_MAX`].
    pub fn conceal(&mut self, frames: usize, out: &mut Vec<f32>) {
        self.stats.frames += frames.min(MISSING_MAX) as u64;
        self.missing(frames, out);
        self.look();
    }

    fn missing(&mut self, frames: usize, out: &mut Vec<f32>) {
        for _ in 0..frames.min(MISSING_MAX) {
            match self.background {
                Some(level) => {
                    self.stats.comfort += 1;
                    self.background_frame(level, out);
                }
                None => {
                    self.stats.concealed += 1;
                    self.bridge(out);
                }
            }
            self.keep(out);
        }
    }

    /// What comes next does not continue what came before.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.opus.reset();
        self.up = Up::default();
        (self.last, self.background, self.redundant, self.repeats) = (None, None, 0, 0);
        self.tail.fill(0.0);
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
                self.background_frame(level, &mut old);
                crossfade(&old, &mut out[from..], self.channels);
            }
            self.keep(out);
        }
        self.redundant = packet.redundant.len();
        if packet.comfort {
            let power = self.tail.iter().map(|x| x * x).sum::<f32>() / self.tail.len() as f32;
            self.background = Some(power.sqrt().min(0.02));
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
                Used::Aic => {
                    self.decoder.reset();
                    self.up = Up::default();
                }
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
                Err(_) => self.repeat(out),
            },
            None => out.resize(out.len() + WIDE_FRAME * self.channels, 0.0),
        }
    }

    /// 20 ms of the engine, or something like it.
    fn decode(&mut self, codes: Option<Codes>, out: &mut Vec<f32>) {
        match self.ask(codes) {
            Some(sound) => {
                self.repeats = 0;
                let mut wide = Vec::with_capacity(WIDE_FRAME);
                self.up.push(&sound, &mut wide);
                for sample in wide {
                    out.extend(std::iter::repeat_n(sample, self.channels));
                }
            }
            None => {
                // What never came is counted where it is missed.
                self.stats.concealed += u64::from(codes.is_some());
                self.repeat(out);
            }
        }
    }

    fn ask(&mut self, codes: Option<Codes>) -> Option<[f32; super::FRAME]> {
        if self.foreign {
            let why = "the sender has other weights".to_owned();
            self.trouble = Some(CodecError::NotThere(why));
            return None;
        }
        let now = Instant::now();
        if self.patience.wait && !std::mem::replace(&mut self.waited, true) {
            // What is wrong shows below.
            let _ = self.codec.wait(START_MAX);
        }
        if !self.watch.may_ask(now) {
            return None;
        }
        let deadline = if self.patience.wait { START_MAX } else { self.patience.deadline };
        match self.decoder.decode(codes, deadline) {
            Ok(sound) => {
                self.watch.came(true);
                self.trouble = None;
                Some(sound)
            }
            Err(error) => {
                self.watch.failed(&error, Instant::now());
                let once = matches!(error, CodecError::Late(_) | CodecError::Failed);
                if !once || !self.watch.may_ask(Instant::now()) {
                    self.trouble = Some(error);
                }
                None
            }
        }
    }

    /// Trouble is over when the engine could be used again, even if nobody sends AIC-A any more.
    fn look(&mut self) {
        let over = !self.foreign && self.watch.may_ask(Instant::now());
        if self.trouble.is_some() && over && self.codec.status().is_ok() {
            self.trouble = None;
        }
    }

    /// The last 20 ms backwards, so that it continues without a step, and softer each time.
    fn repeat(&mut self, out: &mut Vec<f32>) {
        let gain = |repeats: u32| (1.0 - repeats as f32 / REPEATS).max(0.0);
        let (from, to) = (gain(self.repeats), gain(self.repeats + 1));
        // The tail was already lowered to `from` by the repeats before.
        let relative = if from > 0.0 { to / from } else { 0.0 };
        self.repeats = self.repeats.saturating_add(1);
        for (at, sample) in self.tail.chunks_exact(self.channels).rev().enumerate() {
            let share = at as f32 / WIDE_FRAME as f32;
            out.extend(sample.iter().map(|x| x * (1.0 + share * (relative - 1.0))));
        }
    }

    fn background_frame(&mut self, level: f32, out: &mut Vec<f32>) {
        let mut narrow = [0.0; super::FRAME];
        narrow.fill_with(|| self.noise.next() * level);
        let mut wide = Vec::with_capacity(WIDE_FRAME);
        self.up.push(&narrow, &mut wide);
        for sample in wide {
            out.extend(std::iter::repeat_n(sample, self.channels));
        }
    }

    fn keep(&mut self, out: &[f32]) {
        let length = self.tail.len();
        if let Some(from) = out.len().checked_sub(length) {
            self.tail.copy_from_slice(&out[from..]);
        }
    }
}

/// From `old` to `new`, in `new`; both interleaved. Nothing happens where there is no old.
fn crossfade(old: &[f32], new: &mut [f32], channels: usize) {
    let pairs = old.chunks_exact(channels).zip(new.chunks_exact_mut(channels));
    for (at, (old, new)) in pairs.enumerate().take(HOLD + FADE) {
        let share = at.saturating_sub(HOLD) as f32 / FADE as f32;
        for (old, new) in old.iter().zip(new) {
            *new = old * (1.0 - share) + *new * share;
        }
    }
}

/// White noise of unit power, the same in every run.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        // Xorshift: never zero once it is not.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 as f32 / u32::MAX as f32 * 2.0 - 1.0) * 3.0_f32.sqrt()
    }
}
