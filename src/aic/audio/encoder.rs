//! One stream of samples -> codes of 20 ms frames.

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::{AudioError, Model, State};
use crate::aic::FRAME_SAMPLES;
use crate::aic::packet::{Codes, STAGES_MAX};

/// Encodes one stream. Every frame gets all stages; the sender drops those that it cannot afford.
pub struct Encoder {
    model: Arc<Model>,
    state: State,
    /// Samples of an incomplete frame.
    pending: Vec<f32>,
}

impl Encoder {
    /// An encoder before the first sample.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn new(model: Arc<Model>) -> Result<Self, AudioError> {
        let state = model.encoder_state(1)?;
        Ok(Self { model, state, pending: Vec::with_capacity(FRAME_SAMPLES) })
    }

    /// Takes any number of samples (16 kHz, mono, -1 to 1) and passes the codes of each completed
    /// frame to `out`. Samples that are not finite count as silence.
    ///
    /// # Errors
    /// libtorch fails; the stream then needs a new encoder.
    pub fn push(
        &mut self,
        mut samples: &[f32],
        mut out: impl FnMut(Codes),
    ) -> Result<(), AudioError> {
        while !samples.is_empty() {
            let (now, later) =
                samples.split_at(samples.len().min(FRAME_SAMPLES - self.pending.len()));
            let sane = |x: &f32| if x.is_finite() { x.clamp(-1.0, 1.0) } else { 0.0 };
            self.pending.extend(now.iter().map(sane));
            samples = later;
            if self.pending.len() == FRAME_SAMPLES {
                out(self.frame()?);
                self.pending.clear();
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<Codes, AudioError> {
        let samples = Tensor::f_from_slice(&self.pending)?
            .f_unsqueeze(0)?
            .f_to_device(self.model.device())?;
        let codes = self.model.encode(&samples, STAGES_MAX, &mut self.state)?;
        let codes = codes.f_to_kind(Kind::Int16)?.f_reshape([-1])?;
        let codes: Vec<i16> = Vec::try_from(&codes)?;
        let codes: Vec<u16> = codes.into_iter().map(i16::unsigned_abs).collect();
        Ok(Codes::new(&codes))
    }
}
