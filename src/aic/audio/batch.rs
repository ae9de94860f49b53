//! Frames of several streams in one pass of the network.
//!
//! The rounding of a pass may depend on the number of streams in it: packets are bit for bit the
//! same only for streams that go through the network together with the same others.

use tch::{Kind, Tensor};

use super::fade::Fade;
use super::{AudioError, Model, State};
use crate::aic::FRAME_SAMPLES;
use crate::aic::packet::{Codes, STAGES_MAX};

/// Decoder state of one stream.
#[derive(Debug)]
pub struct Voice {
    state: State,
    fade: Fade,
}

impl Voice {
    /// The state before the first frame.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn new(model: &Model) -> Result<Self, AudioError> {
        Ok(Self { state: model.decoder_state(1)?, fade: Fade::default() })
    }
}

impl State {
    /// Joins the states of several streams; theirs are empty until [`Self::split`].
    fn join(states: &mut [&mut Self]) -> Result<Self, AudioError> {
        if let [only] = states {
            return Ok(Self(std::mem::take(&mut only.0)));
        }
        let parts = states.first().map_or(0, |s| s.0.len());
        let join = |part: usize| {
            let tensors: Result<Vec<&Tensor>, _> = states
                .iter()
                .map(|s| s.0.get(part).ok_or(AudioError::Misfit("mixed states")))
                .collect();
            Ok(Tensor::f_cat(&tensors?, 0)?)
        };
        Ok(Self((0..parts).map(join).collect::<Result<_, AudioError>>()?))
    }

    fn split(self, into: &mut [&mut Self]) -> Result<(), AudioError> {
        if let [only] = into {
            only.0 = self.0;
            return Ok(());
        }
        for (at, state) in into.iter_mut().enumerate() {
            let own = |t: &Tensor| t.f_narrow(0, at as i64, 1);
            state.0 = self.0.iter().map(own).collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

impl Model {
    /// The codes of one frame (16 kHz, mono, -1 to 1) of each stream, all stages. Samples that are
    /// not finite count as silence.
    ///
    /// # Errors
    /// libtorch fails; the streams then need new states.
    pub fn encode_many(
        &self,
        frames: &[&[f32; FRAME_SAMPLES]],
        states: &mut [&mut State],
    ) -> Result<Vec<Codes>, AudioError> {
        let sane = |x: &f32| if x.is_finite() { x.clamp(-1.0, 1.0) } else { 0.0 };
        let samples: Vec<f32> = frames.iter().flat_map(|f| f.iter().map(sane)).collect();
        let samples = Tensor::f_from_slice(&samples)?
            .f_reshape([frames.len() as i64, FRAME_SAMPLES as i64])?
            .f_to_device(self.device())?;
        let mut joined = State::join(states)?;
        let codes = self.encode(&samples, STAGES_MAX, &mut joined)?;
        joined.split(states)?;
        let codes = codes.f_to_kind(Kind::Int16)?.f_reshape([-1])?;
        let codes: Vec<i16> = Vec::try_from(&codes)?;
        let codes: Vec<u16> = codes.into_iter().map(i16::unsigned_abs).collect();
        Ok(codes.chunks(STAGES_MAX).map(Codes::new).collect())
    }

    /// Decodes the next 20 ms of each stream; `None`: the frame is lost.
    ///
    /// # Errors
    /// libtorch fails; the streams then need new voices.
    pub fn decode_many(
        &self,
        frames: &[Option<&Codes>],
        voices: &mut [&mut Voice],
    ) -> Result<Vec<[f32; FRAME_SAMPLES]>, AudioError> {
        let latent = |codes: &Option<&Codes>| match codes {
            Some(codes) => tch::no_grad(|| self.lookup(codes.as_slice())),
            None => Ok(self.lost().shallow_clone()),
        };
        let latents: Vec<Tensor> = frames.iter().map(latent).collect::<Result<_, _>>()?;
        let latents = Tensor::f_stack(&latents, 0)?.f_unsqueeze(1)?;
        let mut states: Vec<&mut State> = voices.iter_mut().map(|v| &mut v.state).collect();
        let mut joined = State::join(&mut states)?;
        let samples = self.decode(&latents, &mut joined)?;
        joined.split(&mut states)?;
        let samples: Vec<f32> = Vec::try_from(&samples.f_reshape([-1])?)?;
        let mut made = Vec::with_capacity(frames.len());
        for ((samples, codes), voice) in samples.chunks_exact(FRAME_SAMPLES).zip(frames).zip(voices)
        {
            let mut frame = [0.0; FRAME_SAMPLES];
            frame.copy_from_slice(samples);
            voice.fade.settle(codes.is_some(), &mut frame);
            made.push(frame);
        }
        Ok(made)
    }
}
