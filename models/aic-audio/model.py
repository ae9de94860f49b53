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

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

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
        self.register_buffer("window", torch.hann_window(ANALYSIS))
        self.embed = nn.Linear(2 * 3 * bins, channels)
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
        parts = spectrum * power.pow(-0.35).unsqueeze(-1)
        x = torch.cat([0.5 * power.log() , parts[..., 0], parts[..., 1]], -1)
        return x.reshape(x.shape[0], x.shape[1] // 2, -1)

    def forward(self, samples, state):
        """[batch, frames * FRAME] -> latent [batch, frames, latent]"""
        past = torch.cat([state[0], samples], 1)
        after = [past[:, past.shape[1] - (ANALYSIS - HOP):]]
        x = self.embed(self.features(past))
        for block, tail in zip(self.blocks, state[1:]):
            x, tail = block(x, tail)
            after.append(tail)
        return self.out(self.norm(x)), after


class Decoder(nn.Module):
    def __init__(self, channels, blocks, latent):
        super().__init__()
        self.bins = FRAME // 2 + 1
        self.register_buffer("window", torch.hann_window(FRAME))
        # What stands in for the latent of a frame that never came.
        self.lost = nn.Parameter(torch.zeros(latent))
        self.embed = nn.Linear(latent, channels)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, 2 * 3 * self.bins)

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
        head = self.head(self.norm(x))
        head = head.reshape(head.shape[0], -1, 3, self.bins).float()
        magnitude = head[:, :, 0].clamp(max=6.0).exp()
        phase = head[:, :, 1:]
        phase = phase * (phase.square().sum(2, keepdim=True) + 1e-6).rsqrt()
        spectrum = torch.complex(magnitude * phase[:, :, 0], magnitude * phase[:, :, 1])
        pieces = torch.fft.irfft(spectrum, n=FRAME) * self.window
        first, second = pieces[..., :HOP], pieces[..., HOP:]
        overlap = torch.cat([state[-1].unsqueeze(1), second], 1)
        after.append(overlap[:, -1])
        return (first + overlap[:, :-1]).flatten(1), after


class Quantiser(nn.Module):
    """Residual vector quantiser; codebooks follow the data by moving averages, not by gradient."""

    def __init__(self, latent, decay=0.99):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebooks", torch.zeros(STAGES, ENTRIES, latent))
        self.register_buffer("counts", torch.ones(STAGES, ENTRIES))
        self.register_buffer("sums", torch.zeros(STAGES, ENTRIES, latent))
        self.register_buffer("ready", torch.tensor(False))

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
        self.ready.fill_(True)

    def forward(self, latent, stages, generator):
        """Training: straight-through latent and commitment loss. `stages` [batch] says how many
        stages each item may use; every stage learns from every item all the same."""
        flat = latent.flatten(0, 1)
        limit = stages.repeat_interleave(latent.shape[1]).unsqueeze(1)
        total, commit = torch.zeros_like(flat), 0.0
        with torch.no_grad():
            rest = flat.detach().clone()
        for stage in range(STAGES):
            with torch.no_grad():
                index = self.nearest(rest, stage)
                entry = self.codebooks[stage][index]
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
    def decode(self, codes, lost=None):
        """Codes -> samples, DELAY behind the input. `lost` [batch, frames] marks missing frames."""
        latent = self.quantiser.decode(codes)
        if lost is not None:
            latent = torch.where(lost.unsqueeze(2), self.decoder.lost, latent)
        return self.decoder(latent, self.decoder.fresh(codes.shape[0]))[0]
