"""Whether other books help or harm in other languages: latent error, PESQ-WB and STOI of two files.

    python languages.py runs/lyra.safetensors aic-a2.safetensors --stages 18

Rows are the languages of `speech/multilingual` and the talkers of `speech/p501-48k`; neither folder
is heard by refit.py as README.md calls it.
"""

import argparse
import collections
import re

import numpy as np
import torch
from pesq import NoUtterancesError, pesq
from pystoi import stoi

import data
from model import FRAME, RATE, best, load, total

SECONDS = 12  # of each file


def language(path):
    """`test_de_norm.wav` -> de, `i03_f1.flac` -> P.501 i03"""
    found = re.match(r"test_([a-z]{2})|(i\d+)_", path.name)
    return (found.group(1) or f"P.501 {found.group(2)}") if found else path.stem


def measure(codec, latent, samples, stages):
    codes = best(codec.books, latent, stages)
    error = float((latent - total(codec.books, codes)).square().sum(1).mean())
    made = codec.decode(codes).numpy()
    try:
        quality = pesq(RATE, samples, made, "wb")
    except NoUtterancesError:
        quality = float("nan")
    return error, quality, stoi(samples.astype(np.float64), made.astype(np.float64), RATE)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("before")
    p.add_argument("after")
    p.add_argument("--shared", default="../../../shared/data")
    p.add_argument("--stages", type=int, default=18)
    args = p.parse_args()
    torch.set_num_threads(1)
    codecs, rows = [load(f) for f in (args.before, args.after)], collections.defaultdict(list)
    for folder in ("multilingual", "p501-48k"):
        for path in data.files(f"{args.shared}/speech/{folder}"):
            samples = data.read(path)[:SECONDS * RATE]
            samples = samples[:len(samples) // FRAME * FRAME]
            if "norm" in path.name or len(samples) < RATE:  # the same speech once more, or none
                continue
            latent = codecs[0].latents(torch.from_numpy(samples))
            rows[language(path)].append([measure(c, latent, samples, args.stages) for c in codecs])
    print(f"{args.stages} stages\n\n| language | files | latent error | PESQ-WB | STOI |\n|---|---|---|---|---|")
    for name, values in rows.items():
        before, after = np.nanmean(values, 0)
        cells = [f"{b:.{n}f} -> {a:.{n}f}" for b, a, n in zip(before, after, (1, 3, 4))]
        print(f"| {name} | {len(values)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
