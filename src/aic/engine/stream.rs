//! The handles: one per stream and direction.

use std::time::{Duration, Instant};

use auralink_codec::{Codes, DecoderState, EncoderState, FRAME_SAMPLES, Latent, Model};

use super::fade::Fade;
use super::{Codec, CodecError};

/// Lost frames that repeat the last latent before it decays: 40 ms, as long as a sound lasts. More
/// repeats are heard as a buzz.
const REPEATED_FRAMES: u32 = 2;

/// What each later lost frame leaves of the latent's distance to the mean of speech: a tenth after
/// 100 ms, when the fade begins.
const DECAY_FACTOR: f32 = 0.6;

/// Encodes one stream.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    state: Option<EncoderState>,
}

impl Encoder {
    /// A stream before its first sample.
    pub fn new(codec: Codec) -> Self {
        Self { codec, state: None }
    }

    /// The codes of the next 20 ms (16 kHz, mono, -1 to 1) at this number of stages. Samples that
    /// are not finite count as silence.
    ///
    /// # Errors
    /// See [`CodecError`]. After [`CodecError::Late`] the stream continues; after the others it
    /// starts afresh.
    pub fn encode(
        &mut self,
        frame: &[f32; FRAME_SAMPLES],
        stages: usize,
        deadline: Duration,
    ) -> Result<Codes, CodecError> {
        let model = self.codec.loaded().inspect_err(|_| self.state = None)?;
        let sane = |x: f32| if x.is_finite() { x.clamp(-1.0, 1.0) } else { 0.0 };
        let state = self.state.get_or_insert_with(|| model.encoder_state());
        within(deadline, || {
            let latents = model.analyse(&frame.map(sane), &mut [state]);
            latents.first().map_or_else(Codes::default, |latent| model.quantise(latent, stages))
        })
    }

    /// Forgets the past of the stream.
    pub fn reset(&mut self) {
        self.state = None;
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    state: Option<DecoderState>,
    past: Past,
}

/// What a lost frame is made of.
#[derive(Debug, Default)]
struct Past {
    latent: Option<Latent>,
    /// Frames lost in a row.
    lost: u32,
    fade: Fade,
}

impl Decoder {
    /// A stream before its first frame.
    pub fn new(codec: Codec) -> Self {
        Self { codec, state: None, past: Past::default() }
    }

    /// Decodes the next 20 ms; `None`: the frame is lost. The output lies exactly behind the input
    /// of the encoder.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(
        &mut self,
        codes: Option<Codes>,
        deadline: Duration,
    ) -> Result<[f32; FRAME_SAMPLES], CodecError> {
        let model = self.codec.loaded().inspect_err(|_| self.state = None)?;
        let state = self.state.get_or_insert_with(|| model.decoder_state());
        let past = &mut self.past;
        within(deadline, || {
            let latent = past.latent(&model, codes.as_ref());
            let samples = model.synthesise(&[latent], &mut [state]);
            let mut frame = [0.0; FRAME_SAMPLES];
            for (to, from) in frame.iter_mut().zip(samples) {
                *to = from;
            }
            past.fade.settle(codes.is_some(), &mut frame);
            frame
        })
    }

    /// Forgets the past of the stream.
    pub fn reset(&mut self) {
        self.state = None;
        self.past = Past::default();
    }
}

impl Past {
    /// The latent of the next frame: that of its codes, else the last one, which decays.
    fn latent(&mut self, model: &Model, codes: Option<&Codes>) -> Latent {
        let latent = match codes {
            Some(codes) => {
                self.lost = 0;
                model.latent(codes)
            }
            None => {
                self.lost = self.lost.saturating_add(1);
                let mean = model.mean();
                let mut latent = self.latent.unwrap_or(*mean);
                if self.lost > REPEATED_FRAMES {
                    for (value, mean) in latent.iter_mut().zip(mean) {
                        *value = mean + (*value - mean) * DECAY_FACTOR;
                    }
                }
                latent
            }
        };
        self.latent = Some(latent);
        latent
    }
}

/// What `make` returns, unless it takes longer than this.
fn within<T>(deadline: Duration, make: impl FnOnce() -> T) -> Result<T, CodecError> {
    let began = Instant::now();
    let made = make();
    if began.elapsed() > deadline { Err(CodecError::Late(deadline)) } else { Ok(made) }
}
