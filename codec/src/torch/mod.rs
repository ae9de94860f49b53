//! The network on libtorch: hundreds of streams in one pass on a GPU. By the cargo feature `torch`.
//!
//! Invariant: it computes what [`Model`](crate::Model) computes, up to the order of sums
//! (`tests/torch.rs`).

mod device;
mod layers;

use tch::{Device, Kind, Tensor, no_grad};

pub use device::device;
use layers::{Conv, Step, Unit, Up};

use crate::network::{DILATIONS, INNER, LATENT_KERNEL, OUTER, STAGES};
use crate::weights::{ModelError, Weights};
use crate::{LATENT_VALUES, Latent};

/// Why libtorch does not compute.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The weights are not those of the network.
    #[error(transparent)]
    Weights(#[from] ModelError),
    /// libtorch's own error: no memory on the device, sizes that do not fit.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// The weights on a device.
pub struct TorchModel {
    encoder: Vec<Step>,
    decoder: Vec<Step>,
    device: Device,
}

/// What a network remembers of its streams, which all pass at once.
#[derive(Debug)]
pub struct TorchState {
    tails: Vec<Tensor>,
    streams: i64,
}

impl TorchModel {
    /// Reads the bytes of a weights file (safetensors) to a device.
    ///
    /// # Errors
    /// A tensor is missing or does not fit, or the device has no room.
    pub fn read(bytes: &[u8], device: Device) -> Result<Self, TorchError> {
        let weights = Weights::read(bytes)?;
        Ok(Self {
            encoder: encoder(&weights, device)?,
            decoder: decoder(&weights, device)?,
            device,
        })
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The state of this number of encoders before the first sample.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn encoder_state(&self, streams: usize) -> Result<TorchState, TorchError> {
        self.state(&self.encoder, streams)
    }

    /// The state of this number of decoders before the first frame.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn decoder_state(&self, streams: usize) -> Result<TorchState, TorchError> {
        self.state(&self.decoder, streams)
    }

    fn state(&self, network: &[Step], streams: usize) -> Result<TorchState, TorchError> {
        let streams = streams as i64;
        let zeros = |step: &Step| {
            let (channels, steps) = step.tail();
            Tensor::f_zeros([streams, channels, steps], (Kind::Float, self.device))
        };
        Ok(TorchState { tails: network.iter().map(zeros).collect::<Result<_, _>>()?, streams })
    }

    /// The latents of the next frames. `samples`: the same number of whole frames for each stream of
    /// the state, one stream after the other.
    ///
    /// # Errors
    /// The length does not fit, or libtorch fails.
    pub fn analyse(
        &self,
        samples: &[f32],
        state: &mut TorchState,
    ) -> Result<Vec<Latent>, TorchError> {
        let signal = Tensor::f_from_slice(samples)?.f_reshape([state.streams, 1, -1])?;
        let made = self.run(&self.encoder, &signal, state)?;
        let values =
            Vec::<f32>::try_from(made.f_transpose(1, 2)?.f_contiguous()?.f_reshape([-1])?)?;
        Ok(values.as_chunks().0.to_vec())
    }

    /// The samples of the next frames; as many latents for each stream of the state, one stream after
    /// the other.
    ///
    /// # Errors
    /// The length does not fit, or libtorch fails.
    pub fn synthesise(
        &self,
        latents: &[Latent],
        state: &mut TorchState,
    ) -> Result<Vec<f32>, TorchError> {
        let shape = [state.streams, -1, LATENT_VALUES as i64];
        let signal = Tensor::f_from_slice(latents.as_flattened())?.f_reshape(shape)?;
        let made = self.run(&self.decoder, &signal.f_transpose(1, 2)?, state)?;
        Ok(Vec::<f32>::try_from(made.f_reshape([-1])?)?)
    }

    fn run(
        &self,
        network: &[Step],
        signal: &Tensor,
        state: &mut TorchState,
    ) -> Result<Tensor, TorchError> {
        no_grad(|| {
            let mut signal = signal.f_to_device(self.device)?;
            for (step, tail) in network.iter().zip(&mut state.tails) {
                signal = step.run(&signal, tail)?;
            }
            Ok(signal.f_to_device(Device::Cpu)?)
        })
    }
}

fn encoder(weights: &Weights, device: Device) -> Result<Vec<Step>, TorchError> {
    let (kernel, stride) = OUTER;
    let outer = (1, STAGES[0].0, kernel, stride, 1);
    let mut steps = vec![Step::plain(Conv::read(weights, "encoder.first", outer, device)?)];
    for (at, (inputs, groups, (kernel, stride, down_groups))) in STAGES.into_iter().enumerate() {
        let name = format!("encoder.stages.{at}");
        steps.extend(units(weights, &name, (inputs, groups), device)?);
        let outputs = STAGES.get(at + 1).map_or(INNER.0, |next| next.0);
        let shape = (inputs, outputs, kernel, stride, down_groups);
        steps.push(Step::bent(Conv::read(weights, &format!("{name}.down"), shape, device)?));
    }
    let (inputs, groups) = INNER;
    let inner = (inputs, LATENT_VALUES, LATENT_KERNEL, 1, groups);
    steps.push(Step::bent(Conv::read(weights, "encoder.last", inner, device)?));
    Ok(steps)
}

fn decoder(weights: &Weights, device: Device) -> Result<Vec<Step>, TorchError> {
    let (outputs, groups) = INNER;
    let inner = (LATENT_VALUES, outputs, LATENT_KERNEL, 1, groups);
    let mut steps = vec![Step::plain(Conv::read(weights, "decoder.first", inner, device)?)];
    for at in 0..STAGES.len() {
        let name = format!("decoder.stages.{at}");
        let from_latent = STAGES.len() - 1 - at;
        let (outputs, groups, (kernel, stride, up_groups)) = STAGES[from_latent];
        let inputs = STAGES.get(from_latent + 1).map_or(INNER.0, |inner| inner.0);
        let shape = (inputs, outputs, kernel, stride, up_groups);
        steps.push(Step::bent(Up::read(weights, &format!("{name}.up"), shape, device)?));
        steps.extend(units(weights, &name, (outputs, groups), device)?);
    }
    let (kernel, stride) = OUTER;
    let outer = (STAGES[0].0, 1, kernel, stride, 1);
    steps.push(Step::bent(Up::read(weights, "decoder.last", outer, device)?));
    Ok(steps)
}

fn units(
    weights: &Weights,
    stage: &str,
    (channels, groups): (usize, usize),
    device: Device,
) -> Result<Vec<Step>, TorchError> {
    let unit = |(at, dilation): (usize, usize)| {
        let name = format!("{stage}.units.{at}");
        let unit = Unit::read(weights, &name, (channels, dilation, groups), device)?;
        Ok(Step::plain(unit))
    };
    DILATIONS.into_iter().enumerate().map(unit).collect()
}
