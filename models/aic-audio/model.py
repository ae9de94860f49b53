"""AIC-A 2: Lyra v2's network in float, with a better search at the encoder. 16 kHz, 20 ms frames.

Samples are float, -1 to 1. One frame is 320 samples and becomes one code per quantiser stage (4 bits
each, before entropy coding), 46 stages at most; stages can be left away from the end.

    encoder    a convolution to 1000 steps/s, then three stages of residual units and a strided
               convolution (200, 100, 50 steps/s) -> latent of 64 values
    quantiser  46 stages of 16 entries, each coding what the stages before left over
    decoder    the encoder's mirror image, by transposed convolutions

The network is SoundStream (Zeghidour et al., 2021) as google/lyra 1.3 ships it, without its int8
activations; `convert_lyra.py` reads its weights. Nothing looks ahead: the output lies 0 samples
behind the input, and the frame is the only latency.

Invariant: streaming equals the whole file. Every layer takes the tail of its past input (transposed
convolutions: the overlap of their past output) as state and returns the next; a fresh state is
zeros. `src/aic/audio` in Rust computes the same from the same file.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from speech import FRAME, RATE

STAGES = 46
ENTRIES = 16
LATENT = 64
BEAMS = 16  # partial sums that the search keeps; more gives nothing (64: PESQ +.008)
SLOPE = 0.3
DILATIONS = (1, 3, 9)
CHANNELS, KERNELS, STRIDES, GROUPS = (64, 128, 256, 512), (10, 4, 4), (5, 2, 2), (1, 2, 4)


def lrelu(x):
    return F.leaky_relu(x, SLOPE)


class Conv(nn.Module):
    """Causal convolution, [batch, channels, steps]; the state is the last `past` input steps."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, dilation=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs // groups, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.inputs, self.past = inputs, (kernel - 1) * dilation + 1 - stride
        self.options = {"stride": stride, "groups": groups, "dilation": dilation}

    def fresh(self, batch):
        return self.weight.new_zeros(batch, self.inputs, self.past)

    def forward(self, x, state):
        x = torch.cat([state, x], 2)
        return F.conv1d(x, self.weight, self.bias, **self.options), x[:, :, x.shape[2] - self.past:]


class Transposed(nn.Module):
    """Transposed convolution; the state is what its past output adds to the next steps."""

    def __init__(self, inputs, outputs, kernel, stride, groups=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs // groups, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.outputs, self.past = outputs, kernel - stride
        self.options = {"stride": stride, "groups": groups}

    def fresh(self, batch):
        return self.weight.new_zeros(batch, self.outputs, self.past)

    def forward(self, x, state):
        y = F.conv_transpose1d(x, self.weight, None, **self.options)
        y = torch.cat([y[:, :, :self.past] + state, y[:, :, self.past:]], 2)
        steps = y.shape[2] - self.past
        return y[:, :, :steps] + self.bias[:, None], y[:, :, steps:]


class Unit(nn.Module):
    """Residual unit: depthwise over time, then two layers over channels."""

    def __init__(self, channels, dilation, groups):
        super().__init__()
        self.depthwise = Conv(channels, channels, 3, groups=channels, dilation=dilation)
        self.pointwise1 = Conv(channels, channels, 1)
        self.pointwise2 = Conv(channels, channels, 1, groups=groups)

    def fresh(self, batch):
        return self.depthwise.fresh(batch)

    def forward(self, x, state):
        y, state = self.depthwise(lrelu(x), state)
        for layer in (self.pointwise1, self.pointwise2):
            y = F.conv1d(y, layer.weight, layer.bias, groups=layer.options["groups"])
            if layer is self.pointwise1:
                y = lrelu(y)
        return x + y, state


def units(channels, groups):
    return nn.ModuleList(Unit(channels, dilation, groups) for dilation in DILATIONS)


class Chain(nn.Module):
    """Layers one after another, each with its state."""

    def fresh(self, batch):
        """State before the first sample: one tensor per layer of `layers`."""
        return [layer.fresh(batch) for _, layer in self.layers()]

    def run(self, x, state):
        after = []
        for (activate, layer), before in zip(self.layers(), state):
            x, tail = layer(lrelu(x) if activate else x, before)
            after.append(tail)
        return x, after


class Encoder(Chain):
    def __init__(self):
        super().__init__()
        self.first = Conv(1, CHANNELS[0], 64, stride=16)
        self.stages = nn.ModuleList()
        for i, (kernel, stride, groups) in enumerate(zip(KERNELS, STRIDES, GROUPS)):
            stage = nn.Module()
            stage.units = units(CHANNELS[i], groups)
            stage.down = Conv(CHANNELS[i], CHANNELS[i + 1], kernel, stride, groups)
            self.stages.append(stage)
        self.last = Conv(CHANNELS[3], LATENT, 3, groups=4)

    def layers(self):
        """(whether a leaky ReLU comes before it, layer)"""
        yield False, self.first
        for stage in self.stages:
            yield from ((False, unit) for unit in stage.units)
            yield True, stage.down
        yield True, self.last

    def forward(self, samples, state):
        """[batch, frames * FRAME] -> latent [batch, frames, LATENT]"""
        x, state = self.run(samples.unsqueeze(1), state)
        return x.transpose(1, 2), state


class Decoder(Chain):
    def __init__(self):
        super().__init__()
        self.first = Conv(LATENT, CHANNELS[3], 3, groups=4)
        self.stages = nn.ModuleList()
        for i in (2, 1, 0):
            stage = nn.Module()
            stage.up = Transposed(CHANNELS[i + 1], CHANNELS[i], KERNELS[i], STRIDES[i], GROUPS[i])
            stage.units = units(CHANNELS[i], GROUPS[i])
            self.stages.append(stage)
        self.last = Transposed(CHANNELS[0], 1, 64, 16)

    def layers(self):
        yield False, self.first
        for stage in self.stages:
            yield True, stage.up
            yield from ((False, unit) for unit in stage.units)
        yield True, self.last

    def forward(self, latent, state):
        """[batch, frames, LATENT] -> samples [batch, frames * FRAME]"""
        x, state = self.run(latent.transpose(1, 2), state)
        return x.squeeze(1), state


def greedy(books, latent, stages=STAGES):
    """The nearest entry, stage by stage: [frames, LATENT] -> codes [frames, stages]"""
    return best(books, latent, stages, 1)


@torch.no_grad()
def best(books, latent, stages=STAGES, beams=BEAMS, price=None):
    """M-best search, [frames, LATENT] -> codes [frames, stages]: of all stages so far the `beams`
    smallest squared errors stay. `price` [stages, ENTRIES] is added to the error of each entry."""
    frames = len(latent)
    rest, error = latent.unsqueeze(1), latent.square().sum(1, keepdim=True)  # [frames, kept, LATENT]
    codes = torch.zeros(frames, 1, 0, dtype=torch.long)
    cost = torch.zeros(frames, 1)
    for book, extra in zip(books[:stages], torch.zeros(stages, ENTRIES) if price is None else price):
        grown = error.unsqueeze(2) - 2 * rest @ book.t() + book.square().sum(1)
        paid = cost.unsqueeze(2) + extra
        kept = (grown + paid).flatten(1).topk(min(beams, grown[0].numel()), largest=False).indices
        parent, entry = kept // ENTRIES, kept % ENTRIES
        rest = rest.gather(1, parent.unsqueeze(2).expand(-1, -1, LATENT)) - book[entry]
        error, cost = rest.square().sum(2), paid.flatten(1).gather(1, kept)
        codes = torch.cat([codes.gather(1, parent.unsqueeze(2).expand(-1, -1, codes.shape[2])),
                           entry.unsqueeze(2)], 2)
    winner = (error + cost).argmin(1)
    return codes[torch.arange(frames), winner]


def total(books, codes):
    """What codes stand for: [..., stages] -> [..., LATENT]"""
    return sum(books[stage][codes[..., stage]] for stage in range(codes.shape[-1]))


class Codec(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.register_buffer("books", torch.zeros(STAGES, ENTRIES, LATENT))
        self.register_buffer("mean", torch.zeros(LATENT))  # of latents of speech, for concealment
        self.decoder = Decoder()

    @torch.no_grad()
    def latents(self, samples):
        """[samples], a multiple of FRAME -> [frames, LATENT]"""
        return self.encoder(samples[None], self.encoder.fresh(1))[0][0]

    def encode(self, samples, stages=STAGES, beams=BEAMS):
        """[samples] -> codes [frames, stages]"""
        return best(self.books, self.latents(samples), stages, beams)

    @torch.no_grad()
    def decode(self, codes):
        """Codes -> samples, in time with the input."""
        return self.decoder(total(self.books, codes)[None], self.decoder.fresh(1))[0][0]


def load(weights):
    """The codec from `aic-a2.safetensors`, ready to use."""
    tensors = {k.replace("latent.", ""): v.float() for k, v in load_file(weights).items() if not k.startswith("context.")}
    codec = Codec()
    codec.load_state_dict({"mean": codec.mean} | tensors)
    return codec.eval()


def save(codec, path, context=None):
    """Writes what `load` reads, with the tensors `context.*` of the context net."""
    tensors = {"latent.mean" if k == "mean" else k: v.contiguous() for k, v in codec.state_dict().items()}
    save_file(tensors | (context or {}), path, metadata={"format": "aic-a", "version": "2"})
