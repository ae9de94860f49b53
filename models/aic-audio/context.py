"""Trains the context net of coder.py on the final codebooks, and quantises it.

    python context.py aic-a2.safetensors --speech FOLDER ...    (adds `context.*` to the file)

For each stage a net of its own: 192 inputs (the sum so far, and those of the two frames before) ->
48 -> 16 logits, and a linear path from the sum so far. In training the sums of the frames before are
cut at random to fewer stages or left away, as redundant frames and the start of a packet have it.
"""

import argparse
import math

import numpy as np
import torch
import torch.nn as nn

from coder import AGES, HIDDEN, HIDDEN_MOST, INPUTS_MOST
from model import ENTRIES, LATENT, STAGES, load, save
from refit import SHARES, latents, search

REDUNDANT = 8  # stages of a redundant frame
INPUT_UNIT, HIDDEN_UNIT, LOGIT_UNIT = 16, 64, 32  # integers per one of the float net
EXP_ENTRIES, EXP_ONE = 384, 65536
SCALE = 8.0  # latents are of this size: keeps the float weights near one


class Net(nn.Module):
    """The float original. Weights are [STAGES, outputs, inputs]."""

    def __init__(self):
        super().__init__()
        def weight(outputs, inputs):
            return nn.Parameter(torch.randn(STAGES, outputs, inputs) * 0.5 / math.sqrt(inputs))
        self.now, self.past = weight(HIDDEN, LATENT), weight(HIDDEN, 2 * LATENT)
        self.hidden_bias = nn.Parameter(torch.zeros(STAGES, AGES, HIDDEN))
        self.out, self.direct = weight(ENTRIES, HIDDEN), weight(ENTRIES, LATENT)
        self.out_bias = nn.Parameter(torch.zeros(STAGES, AGES, ENTRIES))

    def forward(self, now, past, age):
        """Sums so far [n, stages, 64], of the frames before [n, 128], ages [n] -> logits [stages, n, 16]"""
        most = INPUTS_MOST / INPUT_UNIT
        now, past = (x.clamp(-most, most) / SCALE for x in (now.transpose(0, 1), past))
        k = len(now)
        before = (past @ self.past[:k].flatten(0, 1).t()).reshape(len(past), k, HIDDEN).transpose(0, 1)
        hidden = before + now @ self.now[:k].transpose(1, 2) + self.hidden_bias[:k, age]
        hidden = hidden.clamp(0, HIDDEN_MOST / HIDDEN_UNIT)
        return hidden @ self.out[:k].transpose(1, 2) + now @ self.direct[:k].transpose(1, 2) + self.out_bias[:k, age]


class Sequences:
    """Pieces of speech as codes, each searched at one of the numbers of stages that are sent."""

    def __init__(self, books, frames, ends, most, seed):
        random = np.random.default_rng(seed)
        pieces = np.split(np.arange(len(frames)), ends[:-1])
        self.books, self.random, self.codes = books, random, {s: [] for s in SHARES}
        share, done = np.array(list(SHARES.values())), 0
        for index in random.permutation(len(pieces)):
            if done >= most:
                break
            stages = int(random.choice(list(SHARES), p=share / share.sum()))
            self.codes[stages].append(search(books, frames[pieces[index]], stages))
            done += len(pieces[index])
        there = share * np.array([len(self.codes[stages]) > 0 for stages in SHARES])
        self.shares = there / there.sum()

    def prefix(self, codes):
        """Sums over the first 0, 1, ... stages: [n, stages + 1, 64]"""
        entries = torch.stack([self.books[k][codes[:, k]] for k in range(codes.shape[1])], 1)
        return torch.cat([torch.zeros_like(entries[:, :1]), entries.cumsum(1)], 1)

    def batch(self):
        """A piece of speech: (codes [n, stages], sums so far, sums of the frames before, ages)"""
        stages = int(self.random.choice(list(SHARES), p=self.shares))
        piece = self.codes[stages][self.random.integers(len(self.codes[stages]))]
        at = torch.arange(2, len(piece))
        age = torch.from_numpy(self.random.integers(0, AGES, len(at)))
        sums = self.prefix(piece)
        past = []
        for back in (1, 2):
            cut = np.full(len(at), stages)
            kind = self.random.random(len(at))
            cut[kind < 0.2] = REDUNDANT
            some = kind > 0.9
            cut[some] = self.random.integers(1, stages + 1, some.sum())
            past.append(sums[at - back, torch.from_numpy(cut)] * (age >= back).unsqueeze(1))
        return piece[at], sums[at, :stages], torch.cat(past, 1), age


def train(net, sequences, steps, pieces=3, rate=4e-3):
    optimiser = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    seen, bits = 0, 0.0
    for step in range(steps):
        for _ in range(pieces):
            codes, now, past, age = sequences.batch()
            logits = net(now, past, age)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), codes.t().flatten(), reduction="sum") / len(codes)
            (loss / pieces).backward()
            bits, seen = bits + loss.item() / math.log(2) / codes.shape[1], seen + 1
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: {bits / seen:.3f} bits per code", flush=True)
            seen, bits = 0, 0.0


def shift_for(*weights):
    """The greatest shift with which integers of these weights fit eight bits, for each stage."""
    most = torch.stack([w.abs().flatten(1).amax(1) for w in weights]).amax(0)
    return (127 / most).log2().floor().clamp(0, 24).int()


def quantise(net, books):
    """The tensors `context.*` of the weights file."""
    now, past = (w.detach() * HIDDEN_UNIT / INPUT_UNIT / SCALE for w in (net.now, net.past))
    out, direct = net.out.detach() * LOGIT_UNIT / HIDDEN_UNIT, net.direct.detach() * LOGIT_UNIT / INPUT_UNIT / SCALE
    first, second = shift_for(now, past), shift_for(out, direct)

    def weights(parts, shift):
        return (torch.cat(parts, 2) * 2.0 ** shift[:, None, None]).round().clamp(-127, 127).to(torch.int8)

    def bias(values, unit, shift):
        half = torch.where(shift > 0, 2.0 ** (shift - 1), 0.0)
        return (values.detach() * unit * 2.0 ** shift[:, None, None] + half[:, None, None]).round().int()
    d = torch.arange(EXP_ENTRIES, dtype=torch.float64) / LOGIT_UNIT
    tensors = {
        "books": (books * INPUT_UNIT).round().short(), "shift": torch.stack([first, second], 1),
        "hidden.weight": weights([now, past], first), "hidden.bias": bias(net.hidden_bias, HIDDEN_UNIT, first),
        "out.weight": weights([out, direct], second), "out.bias": bias(net.out_bias, LOGIT_UNIT, second),
        "exp": (EXP_ONE * (-d).exp()).round().int()}
    if max(int(tensors[k].abs().max()) for k in ("hidden.bias", "out.bias")) >= 1 << 29:
        raise SystemExit("a bias is too large for 32 bits")
    return {f"context.{k}": v.contiguous() for k, v in tensors.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("weights", help="with the final codebooks")
    p.add_argument("--speech", nargs="+", required=True)
    p.add_argument("--cache", default="runs")
    p.add_argument("--start", help="a float net, as each run leaves it in CACHE/context.pt, to continue from")
    p.add_argument("--steps", type=int, default=400)
    p.add_argument("--frames", type=int, default=200_000)
    p.add_argument("--files", type=int, default=0, help="of each folder; 0: all")
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    codec = load(args.weights)
    frames, ends = latents(codec, args.speech, args.cache, args.files)
    net = Net()
    if args.start:
        net.load_state_dict(torch.load(args.start))
    train(net, Sequences(codec.books, frames, ends, args.frames, seed=1), args.steps)
    codec.mean.copy_(frames.mean(0))
    torch.save(net.state_dict(), f"{args.cache}/context.pt")
    save(codec, args.weights, quantise(net, codec.books))


if __name__ == "__main__":
    main()
