"""The quality table: AIC-A, Opus and Lyra v2 on speakers that no training saw, clean and with loss.

    python evaluate.py

Prints Markdown: payload and wire kbit/s (IPv4, UDP, RTP, SRTP) and the scores of scores.py, the mean
over the utterances; then AIC-A less Lyra v2 with intervals that hold 95 % of resampled utterances;
then what AIC-A saves on the wire against WebRTC's Opus, with what it costs. Rates of AIC-A are of
bytes that coder.py wrote, with their header.

Under loss, packets of 20 ms are lost at random. AIC-A carries the frames of the packets before once
(5 %) or twice more at eight stages, as `src/aic/controller.rs` decides it, and Opus its in-band FEC.
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
from coder import TOTAL_BITS, Context, pack_all
from model import FRAME, RATE, load, total
from scores import NAMES, Scores

OVERHEAD = 20 + 8 + 12 + 10  # IPv4, UDP, RTP, SRTP tag: bytes per packet
HEADER = 1  # of an AIC-A payload
REDUNDANT = 8  # stages of a redundant frame
STAGES = (14, 18, 33, 46)
PACKETS = (1, 2, 3)  # frames of a packet
LOSSES = (0.05, 0.1, 0.2)
OPUS_WIDE = (6, 8, 10, 12, 16, 20, 24, 32)
FULLBAND, WIDEBAND = "Opus 32 fullband", "Opus 20"  # what WebRTC sends when nobody asks for less
AGAINST = {14: "Lyra v2 3.2", 18: "Lyra v2 3.2", 33: "Lyra v2 6.0", 46: "Lyra v2 9.2"}


def losses(packets, rate, seed):
    """One flag per packet; none in the first 200 ms."""
    lost = np.random.default_rng(seed).random(packets) < rate
    lost[:10] = False
    return lost


def redundancy(loss):
    """Earlier frames in a packet, as `src/aic/controller.rs` chooses."""
    return 2 if loss > 0.05 else 1 if loss > 0.01 else 0


def payload(context, codes, frames, count=0):
    """kbit/s of codes [n, stages] in packets of so many frames and of `count` redundant ones."""
    codes = np.pad(codes, ((0, -len(codes) % frames), (0, 0)), mode="edge").reshape(-1, frames, codes.shape[1])
    flat = np.concatenate([np.repeat(codes[:1, 0], count, 0), codes.reshape(-1, codes.shape[2])])
    past = [flat[i:i + (len(codes) - 1) * frames + 1:frames, :REDUNDANT] for i in range(count)]
    redundant = np.stack(past, 1) if count else np.zeros((len(codes), 0, REDUNDANT), dtype=codes.dtype)
    written = pack_all(context, redundant, codes)[0]
    return float(np.mean([HEADER + len(packet) for packet in written])) * 8 / (20 * frames)


def conceal(latent, lost, mean):
    """Latents of lost frames: the last one twice, then halfway to the mean with each frame."""
    latent, gap = latent.clone(), 0
    for i in range(1, len(latent)):
        gap = gap + 1 if lost[i] else 0
        if gap:
            latent[i] = latent[i - 1] if gap < 3 else (latent[i - 1] + mean) / 2
    return latent


class Aic:
    def __init__(self, weights):
        self.codec, self.context = load(weights), Context(weights)

    def codes(self, samples, stages):
        whole = np.pad(samples, (0, -len(samples) % FRAME + FRAME)).astype(np.float32)
        return self.codec.encode(torch.from_numpy(whole), stages)

    def sound(self, codes, loss=0.0, seed=0):
        if not loss:
            return self.codec.decode(codes).numpy()
        lost, books = losses(len(codes), loss, seed), self.codec.books
        again = lost & np.any([np.append(~lost[n:], np.zeros(n, dtype=bool)) for n in range(1, redundancy(loss) + 1)], 0)
        latent = torch.where(torch.from_numpy(again)[:, None], total(books, codes[:, :REDUNDANT]), total(books, codes))
        latent = conceal(latent, lost & ~again, self.codec.mean)
        with torch.no_grad():
            return self.codec.decoder(latent[None], self.codec.decoder.fresh(1))[0][0].numpy()

    def __call__(self, samples, stages, loss=0.0, seed=0):
        """(samples, payload kbit/s at 20 ms, wire kbit/s at 20, 40, 60 ms and payload there)"""
        codes = self.codes(samples, stages)
        rates = [payload(self.context, codes.numpy(), n, redundancy(loss)) for n in (PACKETS if not loss else (1,))]
        return self.sound(codes, loss, seed)[:len(samples)], rates


class Table:
    """Measures and prints rows; those of other codecs are kept in a file, they do not change."""

    def __init__(self, speech, keep, visqol):
        self.speech, self.scores, self.rows, self.each = speech, Scores(visqol), {}, {}
        self.keep = pathlib.Path(keep) if keep else None
        self.digest = hashlib.sha256(b"".join(x.tobytes() for x in speech)).hexdigest()[:12] + ("" if visqol else "-fast")
        self.kept = {}
        if self.keep and self.keep.exists():
            self.kept = json.loads(self.keep.read_text()).get(self.digest, {})

    def head(self):
        print(f"| codec | payload kbit/s | wire kbit/s | {' | '.join(NAMES)} |\n|{'---|' * (3 + len(NAMES))}")

    def row(self, name, measure, fixed=True):
        """`measure` gives (samples, list of payload kbit/s at 20, 40, 60 ms) per utterance."""
        if not fixed or name not in self.kept:
            made = [measure(seed, x) for seed, x in enumerate(self.speech)]
            each = [list(map(float, self.scores(y, x))) for (y, _), x in zip(made, self.speech)]
            self.kept[name] = [np.mean([rates for _, rates in made], 0).tolist(), each]
            self.store()
        rates, each = self.kept[name]
        self.rows[name], self.each[name] = (rates, np.mean(each, 0)), np.array(each)
        wire = [rate + OVERHEAD * 0.4 / frames for rate, frames in zip(rates, PACKETS)]
        print(f"| {name} | {slashes(rates)} | {slashes(wire)} | " + " | ".join(
            f"{m:.3f}" if n == "STOI" else f"{m:.2f}" for n, m in zip(NAMES, self.rows[name][1])) + " |", flush=True)

    def store(self):
        if self.keep:
            others = json.loads(self.keep.read_text()) if self.keep.exists() else {}
            self.keep.write_text(json.dumps(others | {self.digest: self.kept}, indent=1))


def slashes(rates):
    return " / ".join(f"{r:.2f}" for r in rates)


def measure_aic(table, aic, clean):
    for stages in STAGES:
        for loss in (0.0, *(() if clean else LOSSES)):
            name = f"AIC-A {stages}" + (f", {loss:.0%} lost" if loss else "")
            table.row(name, lambda seed, x: aic(x, stages, loss, seed), fixed=False)


def measure_others(table, only, shared, clean):
    if "lyra" in only:
        lyra = Lyra(f"{shared}/baselines/lyra-v2")
        for kbps, stages in LYRA_STAGES.items():
            table.row(f"Lyra v2 {kbps}", lambda _, x: (lyra(x, stages), [kbps]))
    if "opus" in only:
        for kbps in OPUS_WIDE:
            table.row(f"Opus {kbps}", lambda _, x: opus(Opus(kbps)(x)))
        table.row(FULLBAND, lambda _, x: opus(Opus(32, 48000)(x)))
        for kbps in () if clean else (12, 20):
            for loss in LOSSES:
                table.row(f"Opus {kbps}, FEC, {loss:.0%} lost",
                          lambda seed, x: opus(Opus(kbps)(x, loss, losses(len(x) // FRAME + 2, loss, seed))))


def opus(result):
    return result[0], [result[1]]


def differences(table, draws=5000):
    """AIC-A less Lyra v2, utterance by utterance, with 95 % of the means of resampled utterances."""
    print(f"\n| AIC-A stages | less | {' | '.join(NAMES)} |\n|{'---|' * (2 + len(NAMES))}")
    random = np.random.default_rng(1)
    for stages, other in AGAINST.items():
        less = table.each[f"AIC-A {stages}"] - table.each[other]
        means = less[random.integers(len(less), size=(draws, len(less)))].mean(1)
        low, high = np.percentile(means, (2.5, 97.5), axis=0)
        print(f"| {stages} | {other} | " + " | ".join(
            f"{m:+.3f} ({a:+.3f} to {b:+.3f})" for m, a, b in zip(less.mean(0), low, high)) + " |")


def bits(aic, speech):
    """Mean bits of a frame before whole bytes: the first of a packet, the second, the third."""
    print("\n| stages | raw bits | first frame of a packet | second | third |\n|---|---|---|---|---|")
    for stages in (REDUNDANT, *STAGES):
        sums, count = np.zeros(3), 0
        for samples in speech:
            codes = aic.codes(samples, max(stages, STAGES[0])).numpy()[:, :stages]
            codes = codes[:len(codes) // 3 * 3].reshape(-1, 3, stages)
            frequencies = aic.context.packets(codes[:, :0], codes)
            for i, rows in enumerate(frequencies):
                sums[i] += TOTAL_BITS * codes[:, i].size - np.log2(np.take_along_axis(rows, codes[:, i, :, None], 2)).sum()
            count += len(codes)
        print(f"| {stages} | {4 * stages} | " + " | ".join(f"{b:.1f}" for b in sums / count) + " |", flush=True)


def savings(rows):
    """What the wire saves, never without what it costs."""
    print(f"\n| AIC-A | packets | wire kbit/s | against {FULLBAND} | against {WIDEBAND} | cost against {WIDEBAND}: "
          f"{', '.join(NAMES)} |\n|---|---|---|---|---|---|")
    for stages in STAGES:
        for frames, rate in zip(PACKETS, rows[f"AIC-A {stages}"][0]):
            wire = rate + OVERHEAD * 0.4 / frames
            saved = [f"{100 * (wire / (rows[n][0][0] + OVERHEAD * 0.4) - 1):.0f} %" for n in (FULLBAND, WIDEBAND)]
            cost = rows[f"AIC-A {stages}"][1] - rows[WIDEBAND][1]
            print(f"| {stages} | {20 * frames} ms | {wire:.1f} | {' | '.join(saved)} | " + ", ".join(f"{c:+.2f}" for c in cost) + " |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--shared", default="../../../shared/data", help="folder with speech/ and baselines/")
    p.add_argument("--speech", help="folder; the files that training holds apart of SHARED/speech/librispeech-251-speakers unless said")
    p.add_argument("--weights", default="aic-a2.safetensors")
    p.add_argument("--utterances", type=int, default=24)
    p.add_argument("--keep", help="file with the figures of other codecs, which then are measured once")
    p.add_argument("--only", nargs="*", default=["original", "aic", "lyra", "opus"])
    p.add_argument("--fast", action="store_true", help="no ViSQOL, no loss")
    args = p.parse_args()
    torch.set_num_threads(1)
    paths = data.files(args.speech) if args.speech else data.held_apart(
        data.files(f"{args.shared}/speech/librispeech-251-speakers"))
    paths = paths[::max(1, len(paths) // args.utterances)][:args.utterances]
    speech = [data.read(f)[:8 * RATE] for f in paths]
    table = Table(speech, args.keep, not args.fast)
    print(f"{len(speech)} utterances, {sum(map(len, speech)) / RATE:.0f} s\n")
    table.head()
    if "original" in args.only:
        table.row("original", lambda _, x: (x, [256.0]))
    aic = Aic(args.weights) if "aic" in args.only else None
    if aic:
        measure_aic(table, aic, args.fast)
    measure_others(table, args.only, args.shared, args.fast)
    if aic:
        bits(aic, speech)
    if {"aic", "lyra"} <= set(args.only):
        differences(table)
    if {"aic", "opus"} <= set(args.only):
        savings(table.rows)


if __name__ == "__main__":
    main()
