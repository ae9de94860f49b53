//! Codes of 20 ms frames, or notices of loss -> samples of one stream.

use std::sync::Arc;

use super::{AudioError, Model, Voice};
use crate::aic::FRAME_SAMPLES;
use crate::aic::packet::Codes;

/// Decodes one stream.
pub struct Decoder {
    model: Arc<Model>,
    voice: Voice,
}

impl Decoder {
    /// A decoder before the first frame.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn new(model: Arc<Model>) -> Result<Self, AudioError> {
        let voice = Voice::new(&model)?;
        Ok(Self { model, voice })
    }

    /// Decodes the next 20 ms; `None`: the frame is lost. The output is delayed by 160 samples
    /// against the input of the encoder.
    ///
    /// # Errors
    /// libtorch fails; the stream then needs a new decoder.
    pub fn frame(&mut self, codes: Option<&Codes>) -> Result<[f32; FRAME_SAMPLES], AudioError> {
        let made = self.model.decode_many(&[codes], &mut [&mut self.voice])?;
        made.first().copied().ok_or(AudioError::Misfit("no whole frame"))
    }
}
