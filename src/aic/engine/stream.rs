//! The handles: one per stream and direction.

use std::time::{Duration, Instant};

use auralink_codec::{Codes, EncoderState, FRAME_SAMPLES, Listener};

use super::{Codec, CodecError};

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
    listener: Option<Listener>,
}

impl Decoder {
    /// A stream before its first frame.
    pub fn new(codec: Codec) -> Self {
        Self { codec, listener: None }
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
        let model = self.codec.loaded().inspect_err(|_| self.listener = None)?;
        let listener = self.listener.get_or_insert_with(|| Listener::new(&model));
        within(deadline, || listener.frame(&model, codes.as_ref()))
    }

    /// Forgets the past of the stream.
    pub fn reset(&mut self) {
        self.listener = None;
    }
}

/// What `make` returns, unless it takes longer than this.
fn within<T>(deadline: Duration, make: impl FnOnce() -> T) -> Result<T, CodecError> {
    let began = Instant::now();
    let made = make();
    if began.elapsed() > deadline { Err(CodecError::Late(deadline)) } else { Ok(made) }
}
