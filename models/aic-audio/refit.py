"""Refits the codebooks to the search that uses them; the network stays as it is.

    python refit.py lyra.safetensors --speech FOLDER ... --out aic-a2.safetensors

Lyra's books were trained for choosing the nearest entry stage by stage. `model.best` chooses others,
so each round searches the training frames anew, at the numbers of stages that are sent, and then
moves every entry towards what its frames lack: block by block least squares, held back by `VIRTUAL`
frames that want the entry where it was.
"""

import argparse
import hashlib
import pathlib

import numpy as np
import torch

import data
from model import FRAME, LATENT, STAGES, best, load, save, total

SHARES = {14: 0.25, 18: 0.3, 33: 0.3, 46: 0.15}  # stages: share of the frames searched with so many
VIRTUAL = 50
SWEEPS = 6


def latents(codec, folders, cache, most=0, seed=1):
    """(latents [frames, LATENT], ends of the pieces): all training files at three speeds, each piece
    0 to 24 dB below full scale. Kept in `cache`."""
    weights = b"".join(v.numpy().tobytes() for k, v in sorted(codec.encoder.state_dict().items()))
    key = hashlib.sha256(weights + "\n".join([*map(str, folders), str(most)]).encode()).hexdigest()[:12]
    store = pathlib.Path(cache) / f"latents-{key}.npz"
    if not store.exists():
        random = np.random.default_rng(seed)
        pieces = []
        for piece in data.load(folders, cache, most)[0]:
            gain = 10 ** (-random.uniform(0, 24) / 20) / 32768
            samples = torch.from_numpy(piece[:len(piece) // FRAME * FRAME].astype(np.float32) * gain)
            pieces.append(codec.latents(samples).numpy())
        np.savez(store, latents=np.concatenate(pieces), ends=np.cumsum([len(p) for p in pieces]))
    with np.load(store) as saved:
        return torch.from_numpy(saved["latents"]), saved["ends"]


def search(books, frames, stages, price=None):
    """`best` in pieces that fit the cache."""
    return torch.cat([best(books, piece, stages, price=price) for piece in frames.split(512)])


def error(books, frames, codes):
    return float((frames - total(books, codes)).square().sum(1).mean())


def move(books, frames, codes, sweeps=SWEEPS):
    """`codes` are lists of equal-length groups: one [n, LATENT] and one [n, stages] for each number
    of stages. Returns the books after the sweeps."""
    books, start = books.clone(), books
    rest = [f - total(books, c) for f, c in zip(frames, codes)]
    for _ in range(sweeps):
        for stage in range(STAGES):
            added, count = torch.zeros_like(books[stage]), torch.zeros(len(books[stage]))
            for r, c in zip(rest, codes):
                if stage < c.shape[1]:
                    added.index_add_(0, c[:, stage], r)
                    count += torch.bincount(c[:, stage], minlength=len(count))
            step = (added + VIRTUAL * (start[stage] - books[stage])) / (count + VIRTUAL).unsqueeze(1)
            for r, c in zip(rest, codes):
                if stage < c.shape[1]:
                    r -= step[c[:, stage]]
            books[stage] += step
    return books


def groups(frames, generator):
    """The frames at random, by the number of stages they are searched with."""
    order, at, out = torch.randperm(len(frames), generator=generator), 0, {}
    for stages, share in SHARES.items():
        count = int(share * len(frames))
        out[stages] = frames[order[at:at + count]]
        at += count
    return out


def refit(books, frames, rounds, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for n in range(rounds):
        parts = groups(frames, generator)
        codes = {stages: search(books, part, stages) for stages, part in parts.items()}
        before = {s: error(books, parts[s], codes[s]) for s in parts}
        books = move(books, list(parts.values()), list(codes.values()))
        print(f"round {n + 1}: " + ", ".join(
            f"{s} stages {before[s]:.1f} -> {error(books, parts[s], codes[s]):.1f}" for s in parts), flush=True)
    return books


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("weights", help="from convert_lyra.py")
    p.add_argument("--speech", nargs="+", required=True)
    p.add_argument("--out", default="aic-a2.safetensors")
    p.add_argument("--cache", default="runs")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--frames", type=int, default=200_000, help="of the training frames, for each round")
    p.add_argument("--files", type=int, default=0, help="of each folder; 0: all")
    args = p.parse_args()
    torch.set_num_threads(1)
    codec = load(args.weights)
    frames, _ = latents(codec, args.speech, args.cache, args.files)
    frames = frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(2))[:args.frames]]
    codec.books.copy_(refit(codec.books, frames, args.rounds))
    codec.mean.copy_(frames.mean(0))
    save(codec, args.out)


if __name__ == "__main__":
    main()
