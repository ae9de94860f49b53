//! Frames of AIC-A -> audio at 48 kHz: by the engine if it is available and may be used, and noise
//! for the background of a silence.

use std::time::Instant;

use auralink_codec::Codes;

use crate::aic::FRAME_SAMPLES;
use crate::aic::engine::{Codec, CodecError, Decoder};
use crate::aic::engine_health::EngineHealth;
use crate::aic::engine_timeout::EngineTimeout;
use crate::aic::fallback::WIDE_FRAME_SAMPLES;
use crate::aic::packet::{Coded, Packet, PacketError};
use crate::aic::resample::Up;

/// The AIC-A of one stream.
pub(super) struct Voice {
    codec: Codec,
    decoder: Decoder,
    up: Up,
    channels: usize,
    noise: Noise,
    watch: EngineHealth,
    /// How to wait for the engine.
    pub(super) engine_timeout: EngineTimeout,
    /// Whether the sender has other weights.
    pub(super) foreign: bool,
    waited: bool,
    trouble: Option<CodecError>,
}

impl Voice {
    pub(super) fn new(codec: Codec, channels: usize, foreign: bool) -> Self {
        Self {
            decoder: Decoder::new(codec.clone()),
            codec,
            up: Up::default(),
            channels,
            noise: Noise(1),
            watch: EngineHealth::default(),
            engine_timeout: EngineTimeout::default(),
            foreign,
            waited: false,
            trouble: None,
        }
    }

    /// Deadlines that the engine missed.
    pub(super) fn misses(&self) -> u64 {
        self.watch.misses()
    }

    /// Why frames cannot be decoded at present.
    pub(super) fn trouble(&self) -> Option<&CodecError> {
        self.trouble.as_ref()
    }

    /// Forgets the past of the stream.
    pub(super) fn reset(&mut self) {
        self.decoder.reset();
        self.up = Up::default();
    }

    /// The payloads are altered on the way: the engine is not used for a while.
    pub(super) fn altered(&mut self) {
        self.watch.failed(&CodecError::Altered, Instant::now());
        self.trouble = Some(CodecError::Altered);
    }

    /// Clears the trouble once the engine can be used again, even if no AIC-A arrives any more.
    pub(super) fn look(&mut self) {
        let over = !self.foreign && self.watch.may_ask(Instant::now());
        if self.trouble.is_some() && over && self.codec.status().is_ok() {
            self.trouble = None;
        }
    }

    /// The frames of a packet; `None` if packets cannot be opened at present.
    ///
    /// # Errors
    /// The packet is damaged.
    pub(super) fn open(&mut self, coded: &Coded) -> Result<Option<Packet>, PacketError> {
        if self.foreign {
            let why = "the sender has other weights".to_owned();
            self.trouble = Some(CodecError::NotThere(why));
            return Ok(None);
        }
        // With `wait` the weights may first be loaded.
        self.engine_timeout.limit(&self.codec, &mut self.waited);
        match self.codec.loaded() {
            Ok(model) => coded.open(&model).map(Some),
            Err(error) => {
                self.trouble = Some(error);
                Ok(None)
            }
        }
    }

    /// Appends the next 20 ms; `None`: the frame is lost. Returns false and appends nothing if the
    /// engine returns no audio.
    pub(super) fn decode(&mut self, codes: Option<Codes>, out: &mut Vec<f32>) -> bool {
        let Some(audio) = self.ask(codes) else { return false };
        self.widen(&audio, out);
        true
    }

    fn ask(&mut self, codes: Option<Codes>) -> Option<[f32; FRAME_SAMPLES]> {
        let limit = self.engine_timeout.limit(&self.codec, &mut self.waited);
        if self.foreign || !self.watch.may_ask(Instant::now()) {
            return None;
        }
        match self.decoder.decode(codes, limit) {
            Ok(audio) => {
                self.watch.came(true);
                self.trouble = None;
                Some(audio)
            }
            Err(error) => {
                self.watch.failed(&error, Instant::now());
                let once = matches!(error, CodecError::Late(_));
                if !once || !self.watch.may_ask(Instant::now()) {
                    self.trouble = Some(error);
                }
                None
            }
        }
    }

    /// Appends 20 ms of background noise at this level (root mean square).
    pub(super) fn background(&mut self, level: f32, out: &mut Vec<f32>) {
        let mut narrow = [0.0; FRAME_SAMPLES];
        narrow.fill_with(|| self.noise.next() * level);
        self.widen(&narrow, out);
    }

    /// Converts to 48 kHz, in every channel.
    fn widen(&mut self, narrow: &[f32; FRAME_SAMPLES], out: &mut Vec<f32>) {
        let mut wide = Vec::with_capacity(WIDE_FRAME_SAMPLES);
        self.up.push(narrow, &mut wide);
        for sample in wide {
            out.extend(std::iter::repeat_n(sample, self.channels));
        }
    }
}

/// White noise of unit power; reproducible.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        // Xorshift: never becomes zero.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 as f32 / u32::MAX as f32 * 2.0 - 1.0) * 3.0_f32.sqrt()
    }
}
