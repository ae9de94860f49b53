"""Speech for training: folders of audio as one array of 16 kHz samples, and random segments of it.

Files are read once, at three speeds, and kept in a cache beside the checkpoints. Those that fall to
`held_apart` are never trained on: `train.py` listens to some of them while it runs, and the quality
table of `evaluate.py` is measured on them. Where each file is a speaker of its own, as in the folder
that README.md names, these are speakers that training has never heard.
"""

import hashlib
import pathlib

import numpy as np
import scipy.signal
import torch

from speech import RATE, files, held_apart, read

SPEEDS = ((1, 1), (10, 9), (9, 10))  # resampling ratios: as spoken, slower, faster


def load(folders, cache, most=0):
    """(training files, held-apart files), each a list of float32 arrays; training at all speeds."""
    train, held = [], []
    for folder in folders:
        paths = files(folder, most)
        out = set(held_apart(paths))
        held += sorted(out)
        train += [p for p in paths if p not in out]
    key = hashlib.sha256("\n".join(map(str, train)).encode()).hexdigest()[:12]
    store = pathlib.Path(cache) / f"samples-{key}.npz"
    if store.exists():
        with np.load(store) as saved:
            flat, ends = saved["flat"], saved["ends"]
    else:
        pieces = []
        for path in train:
            samples = read(path)
            for up, down in SPEEDS:
                piece = samples if up == down else scipy.signal.resample_poly(samples, up, down)
                peak = np.abs(piece).max() + 1e-6
                pieces.append(np.round(piece / peak * 32000).astype(np.int16))
        flat, ends = np.concatenate(pieces), np.cumsum([len(p) for p in pieces])
        store.parent.mkdir(parents=True, exist_ok=True)
        np.savez(store, flat=flat, ends=ends)
    return np.split(flat, ends[:-1]), [read(p) for p in held]


class Segments:
    """Endless batches of augmented segments, the same for the same seed."""

    def __init__(self, speech, noise, length, seed):
        self.speech = [s for s in speech if len(s) > length]
        self.weights = np.array([len(s) for s in self.speech], dtype=np.float64)
        self.weights /= self.weights.sum()
        self.noise = [n for n in noise if len(n) > length]
        self.length = length
        self.random = np.random.default_rng(seed)

    def cut(self, samples):
        start = self.random.integers(len(samples) - self.length)
        return samples[start:start + self.length].astype(np.float32)

    def one(self):
        r = self.random
        x = self.cut(self.speech[r.choice(len(self.speech), p=self.weights)]) / 32768
        if r.random() < 0.06:  # two people at once
            x = x + self.cut(self.speech[r.integers(len(self.speech))]) / 32768 * r.uniform(0.1, 0.8)
        if self.noise and r.random() < 0.1:
            n = self.cut(self.noise[r.integers(len(self.noise))])
            ratio = 10 ** (-r.uniform(12, 40) / 20)
            x = x + n * (np.sqrt((x ** 2).mean()) * ratio / (np.sqrt((n ** 2).mean()) + 1e-6))
        peak = max(np.abs(x).max(), 0.05)
        return x / peak * 0.9 * 10 ** (r.uniform(-24, 0) / 20)

    def batch(self, size):
        return torch.from_numpy(np.stack([self.one() for _ in range(size)]).astype(np.float32))

    def erasures(self, size, frames):
        """[size, frames], true where lost: Gilbert-Elliott losses of 3 to 30 % in bursts, on a third of items."""
        lost = np.zeros((size, frames), dtype=bool)
        for row in lost:
            if self.random.random() > 0.35:
                continue
            rate, burst = self.random.uniform(0.03, 0.3), self.random.uniform(1, 4)
            enter, leave = rate / (1 - rate) / burst, 1 / burst
            bad = False
            for i in range(frames):
                bad = self.random.random() < (1 - leave if bad else enter)
                row[i] = bad
        return lost
