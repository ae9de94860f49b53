"""AIC-A: a causal speech codec. 16 kHz, 20 ms frames, 30 ms algorithmic latency, 0.5 to 6 kbps.

Samples are float, -1 to 1. One frame is 320 samples and becomes one code per quantiser stage (10
bits each): n stages cost n * 500 bit/s, and stages can be dropped from the end at any hop.

    encoder    512-sample Hann windows that end "now", two per frame -> log magnitude and compressed
               real and imaginary parts -> linear -> causal ConvNeXt blocks at 50 Hz -> latent
    quantiser  12 stages of 1024 entries, each coding what the stages before left over
    decoder    latent -> causal ConvNeXt blocks at 50 Hz -> two spectra per frame (log magnitude and
               phase) -> inverse DFT, Hann, overlap-add of 10 ms

Everything runs at 50 Hz because on one core few large matrix products cost less than many small
ones. Nothing looks ahead: the output is the input 160 samples (10 ms) later, and a frame is 20 ms.

Invariant: streaming equals the whole file. Every part takes the tail of its past input as state and
returns the next; a fresh state is zeros, which is also what the whole file is padded with. There is
no normalisation over time. `src/aic/audio` in Rust computes the same from the exported weights.
"""

import json
import math
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

RATE = 16000
FRAME = 320
HOP = 160
ANALYSIS = 512
DELAY = FRAME - HOP  # output behind input, samples
STAGES = 12
ENTRIES = 1024
KERNEL = 7


class Block(nn.Module):
    """ConvNeXt over time: depthwise causal convolution, norm over channels, two linear layers.

    [batch, frames, channels] in and out; state is the last KERNEL - 1 input frames.
    """

    def __init__(self, channels, expand=3):
        super().__init__()
        self.depthwise = nn.Parameter(torch.randn(KERNEL, channels) / math.sqrt(KERNEL))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, expand * channels)
        self.down = nn.Linear(expand * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x, state):
        past = torch.cat([state, x], 1)
        # The transposed view keeps [batch, frames, channels] for the matrix products.
        y = F.conv1d(past.transpose(1, 2), self.depthwise.t().unsqueeze(1), self.bias,
                     groups=x.shape[2]).transpose(1, 2)
        y = self.down(F.gelu(self.up(self.norm(y)), approximate="tanh"))
        return x + self.scale * y, past[:, past.shape[1] - (KERNEL - 1):]


class Encoder(nn.Module):
    def __init__(self, channels, blocks, latent):
        super().__init__()
        bins = ANALYSIS // 2 + 1
        # Rises slowly and falls within a hop: the newest samples count as much as those before.
        rise, fall = torch.hann_window(2 * (ANALYSIS - HOP)), torch.hann_window(2 * HOP)
        self.register_buffer("window", torch.cat([rise[:ANALYSIS - HOP], fall[HOP:]]))
        self.embed = nn.Linear(2 * 3 * bins, channels)
        self.skip = nn.Linear(2 * 3 * bins, latent, bias=False)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, latent)

    def fresh(self, batch):
        """State before the first sample: past samples, then one tail per block."""
        weight = self.out.weight
        return [weight.new_zeros(batch, ANALYSIS - HOP)] + [
            weight.new_zeros(batch, KERNEL - 1, weight.shape[1]) for _ in self.blocks]

    def features(self, samples):
        """[batch, past + frames * FRAME] -> [batch, frames, 6 * bins]"""
        windows = samples.unfold(1, ANALYSIS, HOP) * self.window
        spectrum = torch.view_as_real(torch.fft.rfft(windows))
        power = spectrum.square().sum(-1) + 1e-7
        parts = spectrum * power.pow(-0.25).unsqueeze(-1)
        x = torch.cat([0.5 * power.log(), parts[..., 0], parts[..., 1]], -1)
        return x.reshape(x.shape[0], x.shape[1] // 2, -1)

    def forward(self, samples, state):
        """[batch, frames * FRAME] -> latent [batch, frames, latent]"""
        past = torch.cat([state[0], samples], 1)
        after = [past[:, past.shape[1] - (ANALYSIS - HOP):]]
        features = self.features(past)
        x = self.embed(features)
        for block, tail in zip(self.blocks, state[1:]):
            x, tail = block(x, tail)
            after.append(tail)
        return self.out(self.norm(x)) + self.skip(features), after


class Decoder(nn.Module):
    def __init__(self, channels, blocks, latent):
        super().__init__()
        self.bins = FRAME // 2 + 1
        # Sine in analysis (`wanted`) and synthesis: their product sums to one over the pieces.
        self.register_buffer("window", torch.hann_window(FRAME).sqrt())
        # What stands in for the latent of a frame that never came.
        self.lost = nn.Parameter(torch.zeros(latent))
        self.embed = nn.Linear(latent, channels)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, 2 * 3 * self.bins)
        self.skip = nn.Linear(latent, 2 * 2 * self.bins, bias=False)

    def fresh(self, batch):
        """State before the first frame: one tail per block, then the tail of the overlap-add."""
        weight = self.embed.weight
        return [weight.new_zeros(batch, KERNEL - 1, weight.shape[0]) for _ in self.blocks] + [
            weight.new_zeros(batch, HOP)]

    def forward(self, latent, state):
        """[batch, frames, latent] -> samples [batch, frames * FRAME]"""
        x = self.embed(latent)
        after = []
        for block, tail in zip(self.blocks, state):
            x, tail = block(x, tail)
            after.append(tail)
        shape = (x.shape[0], -1, 3, self.bins)
        head, skip = self.head(self.norm(x)).reshape(shape), self.skip(latent)
        gain = head[:, :, 0].clamp(max=3.0).exp()
        root = (head[:, :, 1:] + skip.reshape(shape[0], -1, 2, self.bins)) * gain.unsqueeze(2)
        # What the network makes is the spectrum with the root of its magnitude.
        length = (root.square().sum(2, keepdim=True) + 1e-6).sqrt()
        spectrum = torch.complex(*(root * length).unbind(2))
        pieces = torch.fft.irfft(spectrum, n=FRAME) * self.window
        first, second = pieces[..., :HOP], pieces[..., HOP:]
        overlap = torch.cat([state[-1].unsqueeze(1), second], 1)
        after.append(overlap[:, -1])
        return (first + overlap[:, :-1]).flatten(1), after, root

    def wanted(self, samples):
        """The roots that would give the input: [batch, frames * FRAME] -> [batch, spectra, 2, bins]"""
        pieces = F.pad(samples, (HOP, 0)).unfold(1, FRAME, HOP) * self.window
        spectrum = torch.view_as_real(torch.fft.rfft(pieces)).transpose(2, 3)
        return spectrum * (spectrum.square().sum(2, keepdim=True) + 1e-9).pow(-0.25)


class Quantiser(nn.Module):
    """Residual vector quantiser; codebooks follow the data by moving averages, not by gradient."""

    def __init__(self, latent, decay=0.99):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebooks", torch.zeros(STAGES, ENTRIES, latent))
        self.register_buffer("counts", torch.ones(STAGES, ENTRIES))
        self.register_buffer("sums", torch.zeros(STAGES, ENTRIES, latent))

    def nearest(self, residual, stage):
        """Index of the nearest entry for each row of `residual` [rows, latent]."""
        book = self.codebooks[stage]
        return (book.square().sum(1) - 2 * residual @ book.t()).argmin(1)

    @torch.no_grad()
    def codes(self, latent, stages=STAGES):
        """[batch, frames, latent] -> [batch, frames, stages]"""
        rest = latent.flatten(0, 1)
        codes = []
        for stage in range(stages):
            index = self.nearest(rest, stage)
            rest = rest - self.codebooks[stage][index]
            codes.append(index)
        return torch.stack(codes, 1).reshape(*latent.shape[:2], stages)

    def decode(self, codes):
        """[batch, frames, stages] -> [batch, frames, latent]"""
        return sum(self.codebooks[stage][codes[..., stage]] for stage in range(codes.shape[2]))

    @torch.no_grad()
    def start(self, latent, generator):
        """K-means on what the encoder gives now, stage after stage. `latent` is [rows, latent]."""
        rest = latent.clone()
        for stage in range(STAGES):
            book = rest[torch.randperm(len(rest), generator=generator)[:ENTRIES]].clone()
            for _ in range(8):
                self.codebooks[stage] = book
                index = self.nearest(rest, stage)
                count = torch.bincount(index, minlength=ENTRIES).float().unsqueeze(1)
                mean = torch.zeros_like(book).index_add_(0, index, rest) / count.clamp(min=1)
                fresh = rest[torch.randint(len(rest), (ENTRIES,), generator=generator)]
                book = torch.where(count > 0, mean, fresh)
            self.codebooks[stage] = book
            self.counts[stage] = 1.0
            self.sums[stage] = book
            rest = rest - book[self.nearest(rest, stage)]

    @torch.no_grad()
    def follow_on(self, rows):
        """Lets `follow` go on from codebooks that were loaded, with so many rows a step."""
        self.counts.fill_(rows / ENTRIES)
        self.sums.copy_(self.codebooks * self.counts.unsqueeze(2))

    def forward(self, latent, stages, generator):
        """Training: straight-through latent and commitment loss. `stages` [batch, frames] says how
        many stages each frame may use; every stage learns from every frame all the same, or none
        where there is no generator."""
        flat = latent.flatten(0, 1)
        limit = stages.flatten().unsqueeze(1)
        total, commit = torch.zeros_like(flat), 0.0
        with torch.no_grad():
            rest = flat.detach().clone()
        for stage in range(STAGES):
            with torch.no_grad():
                index = self.nearest(rest, stage)
                entry = self.codebooks[stage][index]
                if generator is not None:
                    self.follow(rest, index, stage, generator)
                rest = rest - entry
                total = total + entry * (stage < limit)
            if stage in (0, 2, 5, 11):
                commit = commit + (flat - (flat.detach() - rest)).square().mean()
        return (flat + (total - flat).detach()).reshape(latent.shape), commit

    def follow(self, rest, index, stage, generator):
        """Moves the entries of a stage to the mean of what chose them; revives those unused."""
        count = torch.bincount(index, minlength=ENTRIES).float()
        self.counts[stage].lerp_(count, 1 - self.decay)
        added = torch.zeros_like(self.sums[stage]).index_add_(0, index, rest)
        self.sums[stage].lerp_(added, 1 - self.decay)
        dead = self.counts[stage] < 0.03 * len(rest) / ENTRIES
        if dead.any():
            fresh = rest[torch.randint(len(rest), (int(dead.sum()),), generator=generator)]
            mean_count = len(rest) / ENTRIES
            self.sums[stage][dead] = fresh * mean_count
            self.counts[stage][dead] = mean_count
        self.codebooks[stage] = self.sums[stage] / (self.counts[stage].unsqueeze(1) + 1e-6)


class Codec(nn.Module):
    def __init__(self, encoder=(192, 4), decoder=(256, 6), latent=64):
        super().__init__()
        self.shape = {"encoder": list(encoder), "decoder": list(decoder), "latent": latent}
        self.encoder = Encoder(*encoder, latent)
        self.quantiser = Quantiser(latent)
        self.decoder = Decoder(*decoder, latent)

    def mmacs(self):
        """Multiply-accumulates per second of audio, in millions: encoder, search, decoder."""
        def blocks(c, n):
            return n * (6 * c * c + KERNEL * c)
        (ec, en), (dc, dn), d = self.shape["encoder"], self.shape["decoder"], self.shape["latent"]
        encoder = 6 * (ANALYSIS // 2 + 1) * ec + blocks(ec, en) + ec * d
        decoder = d * dc + blocks(dc, dn) + dc * 6 * (FRAME // 2 + 1)
        return tuple(50e-6 * n for n in (encoder, STAGES * ENTRIES * d, decoder))

    @torch.no_grad()
    def encode(self, samples, stages=STAGES):
        """[batch, samples], a multiple of FRAME -> codes [batch, frames, stages]"""
        latent, _ = self.encoder(samples, self.encoder.fresh(samples.shape[0]))
        return self.quantiser.codes(latent, stages)

    @torch.no_grad()
    def decode(self, codes):
        """Codes -> samples, DELAY behind the input."""
        latent = self.quantiser.decode(codes)
        return self.decoder(latent, self.decoder.fresh(codes.shape[0]))[0]

    @torch.no_grad()
    def decode_lossy(self, codes, lost, again, stages):
        """The same where frames are `lost`, or come `again` as redundancy of so many stages; both
        are [batch, frames], true where it is so."""
        whole, fewer = self.quantiser.decode(codes), self.quantiser.decode(codes[..., :stages])
        latent = torch.where(again.unsqueeze(2), fewer, whole)
        latent = torch.where(lost.unsqueeze(2), self.decoder.lost, latent)
        return self.decoder(latent, self.decoder.fresh(codes.shape[0]))[0]

    @torch.no_grad()
    def start(self, samples, linear):
        """Starts as the best linear codec of so many values per frame, which the network then
        improves upon: without that, training for hours finds levels and no phase. Least squares
        from features to roots, then the directions in which the result varies most."""
        past = F.pad(samples, (ANALYSIS - HOP, 0))
        x = self.encoder.features(past).flatten(0, 1).double()
        y = self.decoder.wanted(samples).reshape(len(x), -1).double()
        bins = ANALYSIS // 2 + 1
        columns = torch.arange(x.shape[1]).reshape(2, 3, bins)[:, 1:].flatten()  # no logarithms
        x = x[:, columns]
        square = x.t() @ x
        square.diagonal().add_(1e-3 * square.diagonal().mean())
        map_ = torch.linalg.solve(square, x.t() @ y)
        made = x @ map_
        values, vectors = torch.linalg.eigh(made.t() @ made / len(made))
        basis = vectors.flip(1)[:, :linear]
        scale = (values.sum() ** -0.5 * 4).item()
        self.encoder.skip.weight.zero_()
        self.encoder.skip.weight[:linear, columns] = (map_ @ basis * scale).t().float()
        self.decoder.skip.weight.zero_()
        self.decoder.skip.weight[:, :linear] = (basis / scale).float()
        for layer in (self.encoder.out, self.decoder.head):
            layer.weight.mul_(0.1)
            layer.bias.zero_()
        return float((made - y).square().sum() / y.square().sum()), float(values.flip(0)[:linear].sum() / values.sum())


def load(weights):
    """The codec from exported weights and the model card beside them, ready to use."""
    shape = json.loads(pathlib.Path(weights).with_suffix(".json").read_text())["shape"]
    codec = Codec(tuple(shape["encoder"]), tuple(shape["decoder"]), shape["latent"])
    codec.load_state_dict({k: v.float() for k, v in load_file(weights).items()}, strict=False)
    return codec.eval()
