"""The quality table: AIC-A, Opus and Lyra v2 on speakers that no training saw, clean and with loss.

    python evaluate.py

Prints Markdown: payload and wire kbit/s (IPv4, UDP, RTP, SRTP) and the scores of scores.py, the mean
over the utterances; then what AIC-A saves on the wire against WebRTC's Opus, with what it costs.

Under loss, packets of 20 ms are lost at random. AIC-A carries the frames of the packets before once
(5 %) or twice more at no more than three stages, as `src/aic/controller.rs` decides it, and Opus its
in-band FEC.
"""

import argparse
import hashlib
import json
import os
import pathlib

os.environ.setdefault("OMP_NUM_THREADS", "1")  # many small products: threads would wait for each other

import numpy as np
import torch

import data
from baselines import LYRA_STAGES, Lyra, Opus
from model import DELAY, FRAME, RATE, STAGES, load
from scores import NAMES, Scores

OVERHEAD = 20 + 8 + 12 + 10  # IPv4, UDP, RTP, SRTP tag: bytes per packet
HEADER = 2  # of an AIC-A payload
LOSSES = (0.05, 0.1, 0.2)
OPUS_WIDE = (6, 8, 10, 12, 16, 20, 24, 32)
FULLBAND, WIDEBAND = "Opus 32 fullband", "Opus 20"  # what WebRTC sends when nobody asks for less


def losses(packets, rate, seed):
    """One flag per packet; none in the first 200 ms."""
    lost = np.random.default_rng(seed).random(packets) < rate
    lost[:10] = False
    return lost


def redundancy(stages, loss):
    """(earlier frames in a packet, their stages), as `src/aic/controller.rs` chooses."""
    count = 2 if loss > 0.05 else 1 if loss > 0.01 else 0
    return count, min(stages, 3) if count else 0


def aic(codec, samples, stages, loss=0.0, seed=0):
    whole = np.pad(samples, (0, -len(samples) % FRAME + FRAME))
    codes = codec.encode(torch.from_numpy(whole).unsqueeze(0), stages)
    if not loss:
        return codec.decode(codes)[0].numpy()[DELAY:DELAY + len(samples)]
    lost = losses(codes.shape[1], loss, seed)
    count, fewer = redundancy(stages, loss)
    came = ~lost
    again = lost & np.any([np.append(came[n:], np.zeros(n, dtype=bool)) for n in range(1, count + 1)], 0)
    return codec.decode_lossy(codes, torch.from_numpy(lost & ~again)[None], torch.from_numpy(again)[None],
                              fewer)[0].numpy()[DELAY:DELAY + len(samples)]


def aic_rates(stages, frames, loss=0.0):
    """(payload, wire) kbit/s with so many frames per packet."""
    count, fewer = redundancy(stages, loss)
    payload = HEADER + -(-(frames * stages + count * fewer) * 10 // 8)
    return payload * 8 / (20 * frames), (payload + OVERHEAD) * 8 / (20 * frames)


class Table:
    """Measures and prints rows; those of other codecs are kept in a file, they do not change."""

    def __init__(self, speech, keep):
        self.speech, self.scores, self.rows = speech, Scores(), {}
        self.keep = pathlib.Path(keep) if keep else None
        digest = hashlib.sha256(b"".join(x.tobytes() for x in speech)).hexdigest()[:12]
        self.digest, self.kept = digest, {}
        if self.keep and self.keep.exists():
            self.kept = json.loads(self.keep.read_text()).get(digest, {})

    def head(self):
        print(f"| codec | payload kbit/s | wire kbit/s | {' | '.join(NAMES)} |\n|{'---|' * (3 + len(NAMES))}")

    def row(self, name, measure, fixed=True):
        """`measure` gives one (samples, payload, wire) per utterance; wire is a text."""
        if not fixed or name not in self.kept:
            made = [measure(seed, x) for seed, x in enumerate(self.speech)]
            means = np.mean([self.scores(y, x) for (y, _, _), x in zip(made, self.speech)], 0)
            payload = float(np.mean([payload for _, payload, _ in made]))
            self.kept[name] = [payload, made[0][2], *map(float, means)]
            self.store()
        payload, wire, *means = self.rows[name] = self.kept[name]
        wire = wire or f"{payload + OVERHEAD * 0.4:.1f}"
        print(f"| {name} | {payload:.1f} | {wire} | " + " | ".join(
            f"{m:.3f}" if n == "STOI" else f"{m:.2f}" for n, m in zip(NAMES, means)) + " |", flush=True)

    def store(self):
        if self.keep:
            others = json.loads(self.keep.read_text()) if self.keep.exists() else {}
            self.keep.write_text(json.dumps(others | {self.digest: self.kept}, indent=1))


def measure_aic(table, codec):
    for stages in (3, 6, STAGES):
        for loss in (0.0, *LOSSES):
            payload = aic_rates(stages, 1, loss)[0]
            wire = " / ".join(f"{aic_rates(stages, n, loss)[1]:.1f}" for n in (1, 2, 3))
            name = f"AIC-A {stages / 2:.1f}" + (f", {loss:.0%} lost" if loss else "")
            table.row(name, lambda seed, x: (aic(codec, x, stages, loss, seed), payload, wire), fixed=False)


def measure_others(table, only, shared):
    if "lyra" in only:
        lyra = Lyra(f"{shared}/baselines/lyra-v2")
        for kbps, stages in LYRA_STAGES.items():
            table.row(f"Lyra v2 {kbps}", lambda _, x: (lyra(x, stages), kbps, ""))
    if "opus" in only:
        for kbps in OPUS_WIDE:
            table.row(f"Opus {kbps}", lambda _, x: (*Opus(kbps)(x), ""))
        table.row(FULLBAND, lambda _, x: (*Opus(32, 48000)(x), ""))
        for kbps in (12, 20):
            for loss in LOSSES:
                def measure(seed, x):
                    packets = len(x) // FRAME + 2
                    return (*Opus(kbps)(x, loss, losses(packets, loss, seed)), "")
                table.row(f"Opus {kbps}, FEC, {loss:.0%} lost", measure)


def savings(rows):
    """What the wire saves, never without what it costs."""
    print(f"\n| AIC-A | packets | wire kbit/s | against {FULLBAND} | against {WIDEBAND} | cost against {WIDEBAND}: "
          f"{', '.join(NAMES)} |\n|---|---|---|---|---|---|")
    for stages in (3, 6, STAGES):
        for frames in (1, 2, 3):
            wire = aic_rates(stages, frames)[1]
            saved = [f"{100 * (wire / (rows[n][0] + OVERHEAD * 0.4) - 1):.0f} %" for n in (FULLBAND, WIDEBAND)]
            cost = zip(rows[f"AIC-A {stages / 2:.1f}"][2:], rows[WIDEBAND][2:])
            print(f"| {stages / 2:.1f} | {20 * frames} ms | {wire:.1f} | {' | '.join(saved)} | "
                  + ", ".join(f"{a - b:+.2f}" for a, b in cost) + " |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--shared", default="../../../shared/data", help="folder with speech/ and baselines/")
    p.add_argument("--speech", help="folder; the files that training holds apart of SHARED/speech/librispeech-251-speakers unless said")
    p.add_argument("--weights", default="aic-a.safetensors")
    p.add_argument("--utterances", type=int, default=24)
    p.add_argument("--keep", help="file with the figures of other codecs, which then are measured once")
    p.add_argument("--only", nargs="*", default=["original", "aic", "lyra", "opus"])
    args = p.parse_args()
    torch.set_num_threads(1)
    paths = data.files(args.speech) if args.speech else data.held_apart(
        data.files(f"{args.shared}/speech/librispeech-251-speakers"))
    paths = paths[::max(1, len(paths) // args.utterances)][:args.utterances]
    speech = [data.read(f)[:8 * RATE] for f in paths]
    table = Table(speech, args.keep)
    print(f"{len(speech)} utterances, {sum(map(len, speech)) / RATE:.0f} s\n")
    table.head()
    if "original" in args.only:
        table.row("original", lambda _, x: (x, 256.0, "-"))
    if "aic" in args.only:
        measure_aic(table, load(args.weights))
    measure_others(table, args.only, args.shared)
    if {"aic", "opus"} <= set(args.only):
        savings(table.rows)


if __name__ == "__main__":
    main()
