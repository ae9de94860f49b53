//! The network: causal, with explicit state, N streams per pass.
//!
//! Every part takes the tail of its past input as state and returns the next. A new state is zeros,
//! the same as the padding of a whole file, so streaming gives the same result as the whole file.

use std::path::Path;

use tch::{Device, Kind, Tensor, no_grad};

use super::AudioError;
use super::weights::Weights;
use crate::aic::FRAME_SAMPLES;
use crate::aic::packet::STAGES_MAX;

/// Samples of an analysis window: 32 ms.
const ANALYSIS_SAMPLES: i64 = 512;
/// Samples from one window to the next: 10 ms. Two make a frame.
const HOP_SAMPLES: i64 = 160;
/// Frames that a depthwise convolution covers.
const KERNEL_FRAMES: i64 = 7;
/// Values per bin: log magnitude or gain, and the two of a spectrum.
const BIN_VALUES: i64 = 3;
/// Largest natural logarithm of a gain that a decoder may produce, as in training.
const LOG_GAIN_LEVEL_MAX: f64 = 3.0;
/// Added to the variance that a normalisation divides by: PyTorch's default, as in training.
const NORM_EPSILON: f64 = 1e-5;

/// State of one direction of one or more streams. Made by [`Model::encoder_state`] and
/// [`Model::decoder_state`]; valid only for the model that made it.
#[derive(Debug)]
pub struct State(pub(super) Vec<Tensor>);

impl State {
    fn zeros(batch: i64, shapes: &[&[i64]], device: Device) -> Result<Self, AudioError> {
        let zeros = |shape: &&[i64]| {
            let size = [&[batch], *shape].concat();
            Tensor::f_zeros(size, (Kind::Float, device))
        };
        Ok(Self(shapes.iter().map(zeros).collect::<Result<_, _>>()?))
    }
}

struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn read(weights: &Weights, name: &str, from: i64, to: i64) -> Result<Self, AudioError> {
        Ok(Self {
            weight: weights.take(&format!("{name}.weight"), &[to, from])?,
            bias: weights.take(&format!("{name}.bias"), &[to])?,
        })
    }

    fn run(&self, x: &Tensor) -> Result<Tensor, AudioError> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    channels: i64,
}

impl Norm {
    fn read(weights: &Weights, name: &str, channels: i64) -> Result<Self, AudioError> {
        let part = |part: &str| weights.take(&format!("{name}.{part}"), &[channels]);
        Ok(Self { weight: part("weight")?, bias: part("bias")?, channels })
    }

    fn run(&self, x: &Tensor) -> Result<Tensor, AudioError> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        Ok(x.f_layer_norm([self.channels], weight, bias, NORM_EPSILON, false)?)
    }
}

/// ConvNeXt over time: depthwise causal convolution, norm over channels, two linear layers.
struct Block {
    /// [KERNEL, channels]
    depthwise: Tensor,
    /// The same, as [channels, 1, KERNEL].
    convolution: Tensor,
    bias: Tensor,
    norm: Norm,
    up: Linear,
    down: Linear,
    scale: Tensor,
}

impl Block {
    fn read(weights: &Weights, name: &str, channels: i64) -> Result<Self, AudioError> {
        let depthwise = weights.take(&format!("{name}.depthwise"), &[KERNEL_FRAMES, channels])?;
        Ok(Self {
            convolution: depthwise.f_tr()?.f_unsqueeze(1)?.f_contiguous()?,
            depthwise,
            bias: weights.take(&format!("{name}.bias"), &[channels])?,
            norm: Norm::read(weights, &format!("{name}.norm"), channels)?,
            up: Linear::read(weights, &format!("{name}.up"), channels, 3 * channels)?,
            down: Linear::read(weights, &format!("{name}.down"), 3 * channels, channels)?,
            scale: weights.take(&format!("{name}.scale"), &[channels])?,
        })
    }

    /// [batch, frames, channels] in and out; the tail holds the last KERNEL - 1 frames.
    fn run(&self, x: &Tensor, tail: &mut Tensor) -> Result<Tensor, AudioError> {
        let past = Tensor::f_cat(&[&*tail, x], 1)?;
        let frames = past.size()[1];
        // For one frame this is a weighted sum; calling the convolution would take several times as
        // long.
        let y = if frames == KERNEL_FRAMES {
            let sum = past.f_mul(&self.depthwise)?;
            sum.f_sum_dim_intlist(&[1_i64][..], true, Kind::Float)?.f_add(&self.bias)?
        } else {
            let (one, none) = ([1_i64], [0_i64]);
            past.f_transpose(1, 2)?
                .f_conv1d(&self.convolution, Some(&self.bias), one, none, one, self.norm.channels)?
                .f_transpose(1, 2)?
        };
        *tail =
            past.f_narrow(1, frames - (KERNEL_FRAMES - 1), KERNEL_FRAMES - 1)?.f_contiguous()?;
        let y = self.down.run(&self.up.run(&self.norm.run(&y)?)?.f_gelu("tanh")?)?;
        Ok(y.f_mul(&self.scale)?.f_add(x)?)
    }
}

/// One half of the network: linear, blocks, norm, linear; and a matrix that bypasses them.
struct Half {
    window: Tensor,
    embed: Linear,
    blocks: Vec<Block>,
    norm: Norm,
    last: Linear,
    skip: Tensor,
    channels: i64,
}

impl Half {
    fn read(
        weights: &Weights,
        (name, last): (&str, &str),
        (channels, blocks): (u16, u16),
        (window, from, to, skip): (i64, i64, i64, i64),
    ) -> Result<Self, AudioError> {
        let channels = i64::from(channels);
        let block = |i| Block::read(weights, &format!("{name}.blocks.{i}"), channels);
        Ok(Self {
            window: weights.take(&format!("{name}.window"), &[window])?,
            embed: Linear::read(weights, &format!("{name}.embed"), from, channels)?,
            blocks: (0..blocks).map(block).collect::<Result<_, _>>()?,
            norm: Norm::read(weights, &format!("{name}.norm"), channels)?,
            last: Linear::read(weights, &format!("{name}.{last}"), channels, to)?,
            skip: weights.take(&format!("{name}.skip.weight"), &[skip, from])?,
            channels,
        })
    }

    /// The output of the blocks, and of the matrix.
    fn run(&self, x: &Tensor, tails: &mut [Tensor]) -> Result<(Tensor, Tensor), AudioError> {
        let skip = x.f_linear(&self.skip, None::<&Tensor>)?;
        let mut x = self.embed.run(x)?;
        for (block, tail) in self.blocks.iter().zip(tails) {
            x = block.run(&x, tail)?;
        }
        Ok((self.last.run(&self.norm.run(&x)?)?, skip))
    }

    /// State of one edge (past samples or overlap) and a tail per block.
    fn state(&self, batch: i64, edge: i64, device: Device) -> Result<State, AudioError> {
        let (edge, tail) = ([edge], [KERNEL_FRAMES - 1, self.channels]);
        let mut shapes: Vec<&[i64]> = vec![&edge];
        shapes.extend(self.blocks.iter().map(|_| &tail[..]));
        State::zeros(batch, &shapes, device)
    }
}

/// Weights on a device. Immutable, so any number of streams share it.
pub struct Model {
    encoder: Half,
    decoder: Half,
    /// Replaces the latent of a lost frame: [latent].
    lost: Tensor,
    /// The entries of each stage: [entries, latent].
    codebooks: Vec<Tensor>,
    /// Squared length of each entry of each stage.
    lengths: Vec<Tensor>,
    device: Device,
    id: [u8; 4],
}

// SAFETY: nothing changes a tensor of a model after `load`: no method takes `&mut self`, and none
// calls an operation in place on a weight. libtorch allows any number of threads to read a tensor
// at once; its counts of references are atomic.
#[expect(unsafe_code, reason = "tch marks no tensor as shareable, because it could be changed")]
unsafe impl Sync for Model {}

impl Model {
    /// Reads weights (`.safetensors`) and the model card beside them (`.json`).
    ///
    /// # Errors
    /// A file is missing, the hash differs from the card's, or the tensors do not fit its shape.
    pub fn load(path: &Path, device: Device) -> Result<Self, AudioError> {
        let weights = Weights::read(path, device)?;
        let shape = weights.shape;
        let latent = i64::from(shape.latent);
        let (analysis, spectra) =
            (2 * BIN_VALUES * (ANALYSIS_SAMPLES / 2 + 1), 2 * (HOP_SAMPLES + 1));
        let books = weights
            .take("quantiser.codebooks", &[STAGES_MAX as i64, i64::from(shape.entries), latent])?;
        let codebooks: Vec<Tensor> =
            (0..STAGES_MAX as i64).map(|i| books.f_select(0, i)).collect::<Result<_, _>>()?;
        let length =
            |book: &Tensor| book.f_square()?.f_sum_dim_intlist(&[1_i64][..], false, Kind::Float);
        Ok(Self {
            encoder: Half::read(
                &weights,
                ("encoder", "out"),
                shape.encoder,
                (ANALYSIS_SAMPLES, analysis, latent, latent),
            )?,
            decoder: Half::read(
                &weights,
                ("decoder", "head"),
                shape.decoder,
                (FRAME_SAMPLES as i64, latent, BIN_VALUES * spectra, (BIN_VALUES - 1) * spectra),
            )?,
            lost: weights.take("decoder.lost", &[latent])?,
            lengths: codebooks.iter().map(length).collect::<Result<_, _>>()?,
            codebooks,
            device,
            id: weights.id,
        })
    }

    /// First four bytes of the SHA-256 of the weights. Codes are meaningless to another model.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// State of `batch` encoders before their first sample.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn encoder_state(&self, batch: usize) -> Result<State, AudioError> {
        self.encoder.state(batch as i64, ANALYSIS_SAMPLES - HOP_SAMPLES, self.device)
    }

    /// State of `batch` decoders before their first frame.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn decoder_state(&self, batch: usize) -> Result<State, AudioError> {
        self.decoder.state(batch as i64, HOP_SAMPLES, self.device)
    }

    /// Codes of `stages` stages (int64 [batch, frames, stages]) of the streams with this state, for
    /// samples (float32 [batch, frames * 320]).
    ///
    /// # Errors
    /// The shapes do not fit each other, or libtorch fails.
    pub fn encode(
        &self,
        samples: &Tensor,
        stages: usize,
        state: &mut State,
    ) -> Result<Tensor, AudioError> {
        no_grad(|| {
            let latent = self.latent(samples, state)?;
            self.quantise(&latent, stages.clamp(1, STAGES_MAX))
        })
    }

    /// The input of the quantiser: [batch, frames, latent].
    pub(super) fn latent(&self, samples: &Tensor, state: &mut State) -> Result<Tensor, AudioError> {
        let [edge, tails @ ..] = &mut state.0[..] else {
            return Err(AudioError::Misfit("this is no state of an encoder"));
        };
        if samples.size().get(1).is_none_or(|n| n % FRAME_SAMPLES as i64 != 0 || *n == 0) {
            return Err(AudioError::Misfit("samples must come in whole frames"));
        }
        let past = Tensor::f_cat(&[&*edge, samples], 1)?;
        let keep = ANALYSIS_SAMPLES - HOP_SAMPLES;
        *edge = past.f_narrow(1, past.size()[1] - keep, keep)?.f_contiguous()?;
        let windows =
            past.f_unfold(1, ANALYSIS_SAMPLES, HOP_SAMPLES)?.f_mul(&self.encoder.window)?;
        let spectrum = windows.f_fft_rfft(None, -1, "backward")?;
        let (real, imaginary) = (spectrum.f_real()?, spectrum.f_imag()?);
        let power = real.f_square()?.f_add(&imaginary.f_square()?)?.f_add_scalar(1e-7)?;
        let scale = power.f_pow_tensor_scalar(-0.25)?;
        let level = power.f_log()?.f_mul_scalar(0.5)?;
        let parts = [level, real.f_mul(&scale)?, imaginary.f_mul(&scale)?];
        let features = Tensor::f_cat(&parts, -1)?;
        let (batch, frames) = (features.size()[0], features.size()[1] / 2);
        let (latent, skip) = self.encoder.run(&features.f_reshape([batch, frames, -1])?, tails)?;
        Ok(latent.f_add(&skip)?)
    }

    fn quantise(&self, latent: &Tensor, stages: usize) -> Result<Tensor, AudioError> {
        let (batch, frames) = (latent.size()[0], latent.size()[1]);
        let mut rest = latent.f_reshape([batch * frames, -1])?;
        let mut codes = Vec::with_capacity(stages);
        for (book, length) in self.codebooks.iter().zip(&self.lengths).take(stages) {
            let distance = length.f_sub(&rest.f_matmul(&book.f_tr()?)?.f_mul_scalar(2.0)?)?;
            let code = distance.f_argmin(1, false)?;
            rest = rest.f_sub(&book.f_index_select(0, &code)?)?;
            codes.push(code);
        }
        Ok(Tensor::f_stack(&codes, 1)?.f_reshape([batch, frames, stages as i64])?)
    }

    /// Latent of codes of some stages: codes [stages] -> [latent].
    pub(super) fn lookup(&self, codes: &[u16]) -> Result<Tensor, AudioError> {
        let mut latent = self.lost.f_zeros_like()?;
        for (book, code) in self.codebooks.iter().zip(codes) {
            latent = latent.f_add(&book.f_select(0, i64::from(*code))?)?;
        }
        Ok(latent)
    }

    /// Latent of a lost frame: [latent].
    pub(super) fn lost(&self) -> &Tensor {
        &self.lost
    }

    /// Samples (float32 [batch, frames * 320]) of latents ([batch, frames, latent]) of the streams
    /// with this state. Latents are sums of codebook entries, see [`Model::codes_to_latent`].
    ///
    /// # Errors
    /// The shapes do not fit each other, or libtorch fails.
    pub fn decode(&self, latent: &Tensor, state: &mut State) -> Result<Tensor, AudioError> {
        no_grad(|| self.synthesise(latent, state))
    }

    /// Codes (int64 [batch, frames, stages]) -> latent [batch, frames, latent].
    ///
    /// # Errors
    /// The shape does not fit, or libtorch fails.
    pub fn codes_to_latent(&self, codes: &Tensor) -> Result<Tensor, AudioError> {
        let &[batch, frames, stages] = &codes.size()[..] else {
            return Err(AudioError::Misfit("codes must be [batch, frames, stages]"));
        };
        let mut latent: Option<Tensor> = None;
        for (book, stage) in self.codebooks.iter().zip(0..stages) {
            let code = codes.f_select(2, stage)?.f_reshape([-1])?;
            let entry = book.f_index_select(0, &code)?;
            latent = Some(match latent {
                Some(sum) => sum.f_add(&entry)?,
                None => entry,
            });
        }
        let latent = latent.ok_or(AudioError::Misfit("codes must have a stage"))?;
        Ok(latent.f_reshape([batch, frames, -1])?)
    }

    fn synthesise(&self, latent: &Tensor, state: &mut State) -> Result<Tensor, AudioError> {
        let [overlap, tails @ ..] = &mut state.0[..] else {
            return Err(AudioError::Misfit("this is no state of a decoder"));
        };
        let (head, skip) = self.decoder.run(latent, tails)?;
        let batch = head.size()[0];
        let head = head.f_reshape([batch, -1, BIN_VALUES, HOP_SAMPLES + 1])?;
        let skip = skip.f_reshape([batch, -1, BIN_VALUES - 1, HOP_SAMPLES + 1])?;
        let gain = head.f_narrow(2, 0, 1)?.f_clamp_max(LOG_GAIN_LEVEL_MAX)?.f_exp()?;
        // The spectrum with the square root of its magnitude.
        let root = head.f_narrow(2, 1, BIN_VALUES - 1)?.f_add(&skip)?.f_mul(&gain)?;
        let length = root.f_square()?.f_sum_dim_intlist(&[2_i64][..], true, Kind::Float)?;
        let parts = root.f_mul(&length.f_add_scalar(1e-6)?.f_sqrt()?)?;
        let spectrum = Tensor::f_complex(&parts.f_select(2, 0)?, &parts.f_select(2, 1)?)?;
        let pieces =
            spectrum.f_fft_irfft(2 * HOP_SAMPLES, -1, "backward")?.f_mul(&self.decoder.window)?;
        let (first, second) =
            (pieces.f_narrow(2, 0, HOP_SAMPLES)?, pieces.f_narrow(2, HOP_SAMPLES, HOP_SAMPLES)?);
        let before = Tensor::f_cat(&[overlap.f_unsqueeze(1)?, second], 1)?;
        let count = first.size()[1];
        *overlap = before.f_select(1, count)?.f_contiguous()?;
        Ok(first.f_add(&before.f_narrow(1, 0, count)?)?.f_reshape([batch, -1])?)
    }
}
