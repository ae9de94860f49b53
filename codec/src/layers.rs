//! The layers: causal convolutions over `[stream][step][channel]`, with the tail of each stream's
//! past as explicit state. A new state is zeros, the padding of a whole file.

use crate::kernel::{Matrix, Pieces, leaky};
use crate::weights::{ModelError, Weights};

/// Values of N streams between two layers.
pub(crate) struct Signal {
    pub(crate) values: Vec<f32>,
    pub(crate) streams: usize,
    pub(crate) steps: usize,
}

impl Signal {
    pub(crate) fn leaky(mut self) -> Self {
        leaky(&mut self.values);
        self
    }

    /// Each stream with the tail of its past in front; the tails become those of this signal.
    /// Consumes the beginning of each state.
    fn padded(&self, channels: usize, tail: usize, states: &mut [&mut [f32]]) -> Vec<f32> {
        let (own, tail) = (self.steps * channels, tail * channels);
        let mut padded = Vec::with_capacity(self.streams * (own + tail));
        for (values, state) in self.values.chunks_exact(own).zip(states) {
            let past = take(state, tail);
            let begin = padded.len();
            padded.extend_from_slice(past);
            padded.extend_from_slice(values);
            past.copy_from_slice(&padded[begin + own..]);
        }
        padded
    }

    /// Offsets of the rows that a convolution begins at.
    fn rows(&self, tail: usize, stride: usize, channels: usize) -> Vec<usize> {
        let stream = (tail + self.steps) * channels;
        let steps = self.steps / stride;
        (0..self.streams * steps)
            .map(|row| row / steps * stream + row % steps * stride * channels)
            .collect()
    }
}

/// The next `count` values of a state.
fn take<'a>(state: &mut &'a mut [f32], count: usize) -> &'a mut [f32] {
    let (now, later) = std::mem::take(state).split_at_mut(count);
    *state = later;
    now
}

/// Shape of a convolution: channels in and out, kernel, stride, groups.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
}

/// A strided convolution.
pub(crate) struct Conv {
    matrix: Matrix,
    shape: Shape,
}

impl Conv {
    pub(crate) fn read(weights: &Weights, name: &str, shape: Shape) -> Result<Self, ModelError> {
        let Shape { inputs, outputs, kernel, groups, .. } = shape;
        let (width, columns) = (inputs / groups, outputs / groups);
        let weight = weights.floats(&format!("{name}.weight"), &[outputs, width, kernel])?;
        let bias = weights.floats(&format!("{name}.bias"), &[outputs])?;
        let matrix = Matrix::new((kernel * width, columns), bias, |group, row, column| {
            let (tap, input) = (row / width, row % width);
            weight[((group * columns + column) * width + input) * kernel + tap]
        });
        Ok(Self { matrix, shape })
    }

    /// Steps of the past that it needs.
    fn tail(&self) -> usize {
        self.shape.kernel - self.shape.stride
    }

    pub(crate) fn state_values(&self) -> usize {
        self.tail() * self.shape.inputs
    }

    pub(crate) fn run(&self, signal: &Signal, states: &mut [&mut [f32]]) -> Signal {
        let Shape { inputs, kernel, stride, groups, .. } = self.shape;
        let padded = signal.padded(inputs, self.tail(), states);
        let rows = signal.rows(self.tail(), stride, inputs);
        // Without groups the taps of a row lie side by side.
        let pieces = match groups {
            1 => Pieces { taps: 1, width: kernel * inputs, distance: 0 },
            _ => Pieces { taps: kernel, width: inputs / groups, distance: inputs },
        };
        let mut values = vec![0.0; rows.len() * self.matrix.width()];
        self.matrix.times(&padded, &rows, pieces, &mut values);
        Signal { values, streams: signal.streams, steps: signal.steps / stride }
    }
}

/// A transposed convolution: `stride` steps out for each step in. Its state is the overlap that
/// later steps complete.
pub(crate) struct Up {
    matrix: Matrix,
    bias: Vec<f32>,
    shape: Shape,
}

impl Up {
    pub(crate) fn read(weights: &Weights, name: &str, shape: Shape) -> Result<Self, ModelError> {
        let Shape { inputs, outputs, kernel, groups, .. } = shape;
        let (width, outs) = (inputs / groups, outputs / groups);
        let weight = weights.floats(&format!("{name}.weight"), &[inputs, outs, kernel])?;
        let bias = weights.floats(&format!("{name}.bias"), &[outputs])?;
        let start = vec![0.0; outputs * kernel];
        let matrix = Matrix::new((width, kernel * outs), start, |group, row, column| {
            let (tap, output) = (column / outs, column % outs);
            weight[((group * width + row) * outs + output) * kernel + tap]
        });
        Ok(Self { matrix, bias, shape })
    }

    fn overlap(&self) -> usize {
        self.shape.kernel - self.shape.stride
    }

    pub(crate) fn state_values(&self) -> usize {
        self.overlap() * self.shape.outputs
    }

    pub(crate) fn run(&self, signal: &Signal, states: &mut [&mut [f32]]) -> Signal {
        let Shape { inputs, outputs, stride, groups, .. } = self.shape;
        let rows = signal.rows(0, 1, inputs);
        let pieces = Pieces { taps: 1, width: inputs / groups, distance: 0 };
        let mut products = vec![0.0; rows.len() * self.matrix.width()];
        self.matrix.times(&signal.values, &rows, pieces, &mut products);
        let (steps, overlap) = (signal.steps * stride, self.overlap() * outputs);
        let mut values = Vec::with_capacity(signal.streams * steps * outputs);
        let mut sums = vec![0.0; steps * outputs + overlap];
        for (products, state) in
            products.chunks_exact(signal.steps * self.matrix.width()).zip(states)
        {
            let carried = take(state, overlap);
            sums[..overlap].copy_from_slice(carried);
            sums[overlap..].fill(0.0);
            for (step, products) in products.chunks_exact(self.matrix.width()).enumerate() {
                self.add(products, &mut sums[step * stride * outputs..]);
            }
            let (done, open) = sums.split_at(steps * outputs);
            carried.copy_from_slice(open);
            for step in done.chunks_exact(outputs) {
                values.extend(step.iter().zip(&self.bias).map(|(sum, bias)| sum + bias));
            }
        }
        Signal { values, streams: signal.streams, steps }
    }

    /// Adds what one step of the input contributes: `[group][tap][output]`.
    fn add(&self, products: &[f32], sums: &mut [f32]) {
        let Shape { outputs, kernel, groups, .. } = self.shape;
        let outs = outputs / groups;
        for (at, products) in products.chunks_exact(outs).enumerate() {
            let (group, tap) = (at / kernel, at % kernel);
            let to = &mut sums[tap * outputs + group * outs..][..outs];
            to.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
        }
    }
}

/// Steps that a depthwise convolution looks at.
const DEPTHWISE_TAPS: usize = 3;

/// A residual unit: each channel over time, then all channels at each step.
pub(crate) struct Unit {
    /// `[tap][channel]`.
    depthwise: Vec<f32>,
    bias: Vec<f32>,
    dilation: usize,
    mix: Conv,
    out: Conv,
}

impl Unit {
    pub(crate) fn read(
        weights: &Weights,
        name: &str,
        (channels, dilation, groups): (usize, usize, usize),
    ) -> Result<Self, ModelError> {
        let shape = [channels, 1, DEPTHWISE_TAPS];
        let by_channel = weights.floats(&format!("{name}.depthwise.weight"), &shape)?;
        let depthwise = (0..DEPTHWISE_TAPS * channels)
            .map(|at| by_channel[at % channels * DEPTHWISE_TAPS + at / channels])
            .collect();
        let bias = weights.floats(&format!("{name}.depthwise.bias"), &[channels])?;
        let point = |name: &str, groups| {
            let shape = Shape { inputs: channels, outputs: channels, kernel: 1, stride: 1, groups };
            Conv::read(weights, name, shape)
        };
        let mix = point(&format!("{name}.pointwise1"), 1)?;
        let out = point(&format!("{name}.pointwise2"), groups)?;
        Ok(Self { depthwise, bias, dilation, mix, out })
    }

    fn tail(&self) -> usize {
        (DEPTHWISE_TAPS - 1) * self.dilation
    }

    pub(crate) fn state_values(&self) -> usize {
        self.tail() * self.bias.len()
    }

    pub(crate) fn run(&self, mut signal: Signal, states: &mut [&mut [f32]]) -> Signal {
        let channels = self.bias.len();
        let mut bent = Signal { values: signal.values.clone(), ..signal }.leaky();
        let padded = bent.padded(channels, self.tail(), states);
        let (own, all) = (signal.steps * channels, (signal.steps + self.tail()) * channels);
        for (to, from) in bent.values.chunks_exact_mut(own).zip(padded.chunks_exact(all)) {
            self.over_time(from, to);
        }
        let mixed = self.mix.run(&bent, &mut no_states(signal.streams)).leaky();
        let made = self.out.run(&mixed, &mut no_states(signal.streams));
        signal.values.iter_mut().zip(&made.values).for_each(|(value, more)| *value += more);
        signal
    }

    /// The depthwise convolution of one stream.
    fn over_time(&self, padded: &[f32], to: &mut [f32]) {
        let channels = self.bias.len();
        let (first, rest) = self.depthwise.split_at(channels);
        let (second, third) = rest.split_at(channels);
        let later = self.dilation * channels;
        let past = padded.chunks_exact(channels);
        let middle = padded[later..].chunks_exact(channels);
        let now = padded[2 * later..].chunks_exact(channels);
        for (((to, past), middle), now) in
            to.chunks_exact_mut(channels).zip(past).zip(middle).zip(now)
        {
            for channel in 0..channels {
                to[channel] = self.bias[channel]
                    + past[channel] * first[channel]
                    + middle[channel] * second[channel]
                    + now[channel] * third[channel];
            }
        }
    }
}

/// For layers without a past.
fn no_states<'a>(streams: usize) -> Vec<&'a mut [f32]> {
    (0..streams).map(|_| <&mut [f32]>::default()).collect()
}
