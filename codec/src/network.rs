//! Encoder and decoder: layers in a row, and the states of streams.

use crate::context::Context;
use crate::layers::{Conv, Shape, Signal, Unit, Up};
use crate::quantiser::Quantiser;
use crate::weights::{ModelError, Weights};
use crate::{Codes, LATENT_VALUES, Latent};

/// Steps of the past between the taps of a stage's units.
pub(crate) const DILATIONS: [usize; 3] = [1, 3, 9];

/// Channels of the three stages, from samples to latent; the groups of their units, and the kernel,
/// stride and groups of the convolution towards the latent.
pub(crate) const STAGES: [(usize, usize, (usize, usize, usize)); 3] =
    [(64, 1, (10, 5, 1)), (128, 2, (4, 2, 2)), (256, 4, (4, 2, 4))];

/// Channels beside the latent, and groups there.
pub(crate) const INNER: (usize, usize) = (512, 4);

/// Between samples and the first stage: kernel and stride in samples.
pub(crate) const OUTER: (usize, usize) = (64, 16);

/// Steps that the convolution at the latent looks at.
pub(crate) const LATENT_KERNEL: usize = 3;

/// Weights of AIC-A, shared by all streams.
pub struct Model {
    encoder: Encoder,
    decoder: Decoder,
    quantiser: Quantiser,
    pub(crate) context: Context,
    mean: Latent,
}

/// What an encoder remembers of one stream.
#[derive(Clone, Debug)]
pub struct EncoderState(Vec<f32>);

/// What a decoder remembers of one stream.
#[derive(Clone, Debug)]
pub struct DecoderState(Vec<f32>);

impl Model {
    /// Reads the bytes of a weights file (safetensors).
    ///
    /// # Errors
    /// A tensor is missing, or its shape, type or a value is not that of the network.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let weights = Weights::read(bytes)?;
        let mut mean = [0.0; LATENT_VALUES];
        mean.copy_from_slice(&weights.floats("latent.mean", &[LATENT_VALUES])?);
        Ok(Self {
            encoder: Encoder::read(&weights)?,
            decoder: Decoder::read(&weights)?,
            quantiser: Quantiser::read(&weights)?,
            context: Context::read(&weights)?,
            mean,
        })
    }

    /// The state before the first sample.
    pub fn encoder_state(&self) -> EncoderState {
        EncoderState(vec![0.0; self.encoder.state_values()])
    }

    /// The state before the first frame.
    pub fn decoder_state(&self) -> DecoderState {
        DecoderState(vec![0.0; self.decoder.state_values()])
    }

    /// Mean latent of speech.
    pub fn mean(&self) -> &Latent {
        &self.mean
    }

    /// The latents of the next frames of each stream. `samples`: the same number of whole frames
    /// (16 kHz, -1 to 1) for each state, one stream after the other.
    pub fn analyse(&self, samples: &[f32], states: &mut [&mut EncoderState]) -> Vec<Latent> {
        let steps = samples.len() / states.len().max(1);
        if steps == 0 {
            return Vec::new();
        }
        let signal = Signal { values: samples.to_vec(), streams: states.len(), steps };
        let mut states: Vec<&mut [f32]> = states.iter_mut().map(|s| s.0.as_mut_slice()).collect();
        let made = self.encoder.run(signal, &mut states);
        made.values.as_chunks().0.to_vec()
    }

    /// The codes of a latent at this number of stages, by the best of 16 paths.
    pub fn quantise(&self, latent: &Latent, stages: usize) -> Codes {
        self.quantiser.search(latent, stages)
    }

    /// The latent that codes stand for.
    pub fn latent(&self, codes: &Codes) -> Latent {
        self.quantiser.sum(codes)
    }

    /// The samples of the next frames of each stream; as many latents for each state, one stream
    /// after the other.
    pub fn synthesise(&self, latents: &[Latent], states: &mut [&mut DecoderState]) -> Vec<f32> {
        let steps = latents.len() / states.len().max(1);
        if steps == 0 {
            return Vec::new();
        }
        let signal =
            Signal { values: latents.as_flattened().to_vec(), streams: states.len(), steps };
        let mut states: Vec<&mut [f32]> = states.iter_mut().map(|s| s.0.as_mut_slice()).collect();
        self.decoder.run(signal, &mut states).values
    }
}

struct Encoder {
    first: Conv,
    stages: Vec<([Unit; 3], Conv)>,
    last: Conv,
}

impl Encoder {
    fn read(weights: &Weights) -> Result<Self, ModelError> {
        let (kernel, stride) = OUTER;
        let outputs = STAGES[0].0;
        let shape = Shape { inputs: 1, outputs, kernel, stride, groups: 1 };
        let first = Conv::read(weights, "encoder.first", shape)?;
        let stage = |at: usize| {
            let name = format!("encoder.stages.{at}");
            let (inputs, groups, (kernel, stride, down_groups)) = STAGES[at];
            let outputs = STAGES.get(at + 1).map_or(INNER.0, |next| next.0);
            let shape = Shape { inputs, outputs, kernel, stride, groups: down_groups };
            let down = Conv::read(weights, &format!("{name}.down"), shape)?;
            Ok((units(weights, &name, inputs, groups)?, down))
        };
        let stages = (0..STAGES.len()).map(stage).collect::<Result<_, ModelError>>()?;
        let (inputs, groups) = INNER;
        let (outputs, kernel) = (LATENT_VALUES, LATENT_KERNEL);
        let shape = Shape { inputs, outputs, kernel, stride: 1, groups };
        Ok(Self { first, stages, last: Conv::read(weights, "encoder.last", shape)? })
    }

    fn state_values(&self) -> usize {
        let of = |(units, down): &([Unit; 3], Conv)| {
            units.iter().map(Unit::state_values).sum::<usize>() + down.state_values()
        };
        let stages: usize = self.stages.iter().map(of).sum();
        self.first.state_values() + stages + self.last.state_values()
    }

    fn run(&self, samples: Signal, states: &mut [&mut [f32]]) -> Signal {
        let mut signal = self.first.run(&samples, states);
        for (units, down) in &self.stages {
            signal = units.iter().fold(signal, |signal, unit| unit.run(signal, states));
            signal = down.run(&signal.leaky(), states);
        }
        self.last.run(&signal.leaky(), states)
    }
}

struct Decoder {
    first: Conv,
    stages: Vec<(Up, [Unit; 3])>,
    last: Up,
}

impl Decoder {
    fn read(weights: &Weights) -> Result<Self, ModelError> {
        let (outputs, groups) = INNER;
        let (inputs, kernel) = (LATENT_VALUES, LATENT_KERNEL);
        let shape = Shape { inputs, outputs, kernel, stride: 1, groups };
        let first = Conv::read(weights, "decoder.first", shape)?;
        let stage = |at: usize| {
            let name = format!("decoder.stages.{at}");
            let from_latent = STAGES.len() - 1 - at;
            let (outputs, groups, (kernel, stride, up_groups)) = STAGES[from_latent];
            let inputs = STAGES.get(from_latent + 1).map_or(INNER.0, |inner| inner.0);
            let shape = Shape { inputs, outputs, kernel, stride, groups: up_groups };
            let up = Up::read(weights, &format!("{name}.up"), shape)?;
            Ok((up, units(weights, &name, outputs, groups)?))
        };
        let stages = (0..STAGES.len()).map(stage).collect::<Result<_, ModelError>>()?;
        let (kernel, stride) = OUTER;
        let inputs = STAGES[0].0;
        let shape = Shape { inputs, outputs: 1, kernel, stride, groups: 1 };
        Ok(Self { first, stages, last: Up::read(weights, "decoder.last", shape)? })
    }

    fn state_values(&self) -> usize {
        let of = |(up, units): &(Up, [Unit; 3])| {
            up.state_values() + units.iter().map(Unit::state_values).sum::<usize>()
        };
        let stages: usize = self.stages.iter().map(of).sum();
        self.first.state_values() + stages + self.last.state_values()
    }

    fn run(&self, latents: Signal, states: &mut [&mut [f32]]) -> Signal {
        let mut signal = self.first.run(&latents, states);
        for (up, units) in &self.stages {
            signal = up.run(&signal.leaky(), states);
            signal = units.iter().fold(signal, |signal, unit| unit.run(signal, states));
        }
        self.last.run(&signal.leaky(), states)
    }
}

fn units(
    weights: &Weights,
    stage: &str,
    channels: usize,
    groups: usize,
) -> Result<[Unit; 3], ModelError> {
    let unit = |at: usize| {
        let name = format!("{stage}.units.{at}");
        Unit::read(weights, &name, (channels, DILATIONS[at], groups))
    };
    Ok([unit(0)?, unit(1)?, unit(2)?])
}
