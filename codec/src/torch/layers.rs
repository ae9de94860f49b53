//! The layers on libtorch, over `[stream, channel, step]`. Each takes the tail of its past and leaves
//! the next one.

use tch::{Device, Tensor};

use super::TorchError;
use crate::kernel::LEAK_RATIO;
use crate::weights::Weights;

/// Channels in and out, kernel, stride, groups.
pub(super) type Shape = (usize, usize, usize, usize, usize);

pub(super) enum Layer {
    Conv(Conv),
    Up(Up),
    Unit(Unit),
}

impl From<Conv> for Layer {
    fn from(conv: Conv) -> Self {
        Self::Conv(conv)
    }
}

impl From<Up> for Layer {
    fn from(up: Up) -> Self {
        Self::Up(up)
    }
}

impl From<Unit> for Layer {
    fn from(unit: Unit) -> Self {
        Self::Unit(unit)
    }
}

/// A layer, and whether its input is bent before it.
pub(super) struct Step {
    layer: Layer,
    is_bent: bool,
}

impl Step {
    pub(super) fn plain(layer: impl Into<Layer>) -> Self {
        Self { layer: layer.into(), is_bent: false }
    }

    pub(super) fn bent(layer: impl Into<Layer>) -> Self {
        Self { layer: layer.into(), is_bent: true }
    }

    /// Channels and steps of what it remembers of one stream.
    pub(super) fn tail(&self) -> (i64, i64) {
        match &self.layer {
            Layer::Conv(conv) => (conv.inputs, conv.tail),
            Layer::Up(up) => (up.outputs, up.overlap),
            Layer::Unit(unit) => (unit.depthwise.inputs, unit.depthwise.tail),
        }
    }

    pub(super) fn run(&self, signal: &Tensor, tail: &mut Tensor) -> Result<Tensor, TorchError> {
        let bent = if self.is_bent { Some(leaky(signal)?) } else { None };
        let signal = bent.as_ref().unwrap_or(signal);
        match &self.layer {
            Layer::Conv(conv) => conv.run(signal, tail),
            Layer::Up(up) => up.run(signal, tail),
            Layer::Unit(unit) => unit.run(signal, tail),
        }
    }
}

fn leaky(signal: &Tensor) -> Result<Tensor, TorchError> {
    Ok(signal.f_maximum(&signal.f_mul_scalar(f64::from(LEAK_RATIO))?)?)
}

fn tensor(
    weights: &Weights,
    name: &str,
    shape: &[usize],
    device: Device,
) -> Result<Tensor, TorchError> {
    let size: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
    let values = Tensor::f_from_slice(&weights.floats(name, shape)?)?;
    Ok(values.f_reshape(size)?.f_to_device(device)?)
}

pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    inputs: i64,
    stride: i64,
    dilation: i64,
    groups: i64,
    tail: i64,
}

impl Conv {
    pub(super) fn read(
        weights: &Weights,
        name: &str,
        shape: Shape,
        device: Device,
    ) -> Result<Self, TorchError> {
        Self::dilated(weights, name, shape, 1, device)
    }

    fn dilated(
        weights: &Weights,
        name: &str,
        (inputs, outputs, kernel, stride, groups): Shape,
        dilation: usize,
        device: Device,
    ) -> Result<Self, TorchError> {
        let size = [outputs, inputs / groups, kernel];
        Ok(Self {
            weight: tensor(weights, &format!("{name}.weight"), &size, device)?,
            bias: tensor(weights, &format!("{name}.bias"), &[outputs], device)?,
            inputs: inputs as i64,
            stride: stride as i64,
            dilation: dilation as i64,
            groups: groups as i64,
            tail: ((kernel - 1) * dilation + 1 - stride) as i64,
        })
    }

    fn run(&self, signal: &Tensor, tail: &mut Tensor) -> Result<Tensor, TorchError> {
        let past = Tensor::f_cat(&[&*tail, signal], 2)?;
        let steps = past.size()[2];
        *tail = past.f_narrow(2, steps - self.tail, self.tail)?.f_contiguous()?;
        self.over(&past)
    }

    fn over(&self, past: &Tensor) -> Result<Tensor, TorchError> {
        let (stride, padding, dilation) = ([self.stride], [0_i64], [self.dilation]);
        let bias = Some(&self.bias);
        Ok(past.f_conv1d(&self.weight, bias, stride, padding, dilation, self.groups)?)
    }
}

/// A transposed convolution; its tail is the overlap that later steps complete.
pub(super) struct Up {
    weight: Tensor,
    /// `[1, channel, 1]`.
    bias: Tensor,
    outputs: i64,
    stride: i64,
    groups: i64,
    overlap: i64,
}

impl Up {
    pub(super) fn read(
        weights: &Weights,
        name: &str,
        (inputs, outputs, kernel, stride, groups): Shape,
        device: Device,
    ) -> Result<Self, TorchError> {
        let size = [inputs, outputs / groups, kernel];
        let bias = tensor(weights, &format!("{name}.bias"), &[outputs], device)?;
        Ok(Self {
            weight: tensor(weights, &format!("{name}.weight"), &size, device)?,
            bias: bias.f_reshape([1, -1, 1])?,
            outputs: outputs as i64,
            stride: stride as i64,
            groups: groups as i64,
            overlap: (kernel - stride) as i64,
        })
    }

    fn run(&self, signal: &Tensor, tail: &mut Tensor) -> Result<Tensor, TorchError> {
        let (stride, none, one) = ([self.stride], [0_i64], [1_i64]);
        let bias = None::<&Tensor>;
        let made =
            signal.f_conv_transpose1d(&self.weight, bias, stride, none, none, self.groups, one)?;
        let steps = signal.size()[2] * self.stride;
        let made = made.f_add(&tail.f_constant_pad_nd([0, steps])?)?;
        *tail = made.f_narrow(2, steps, self.overlap)?.f_contiguous()?;
        Ok(made.f_narrow(2, 0, steps)?.f_add(&self.bias)?)
    }
}

/// A residual unit: each channel over time, then all channels at each step.
pub(super) struct Unit {
    depthwise: Conv,
    mix: Conv,
    out: Conv,
}

impl Unit {
    pub(super) fn read(
        weights: &Weights,
        name: &str,
        (channels, dilation, groups): (usize, usize, usize),
        device: Device,
    ) -> Result<Self, TorchError> {
        let over_time = (channels, channels, 3, 1, channels);
        let depthwise = format!("{name}.depthwise");
        let point = |part: &str, groups| {
            let shape = (channels, channels, 1, 1, groups);
            Conv::read(weights, &format!("{name}.{part}"), shape, device)
        };
        Ok(Self {
            depthwise: Conv::dilated(weights, &depthwise, over_time, dilation, device)?,
            mix: point("pointwise1", 1)?,
            out: point("pointwise2", groups)?,
        })
    }

    fn run(&self, signal: &Tensor, tail: &mut Tensor) -> Result<Tensor, TorchError> {
        let over_time = self.depthwise.run(&leaky(signal)?, tail)?;
        let mixed = leaky(&self.mix.over(&over_time)?)?;
        Ok(signal.f_add(&self.out.over(&mixed)?)?)
    }
}
