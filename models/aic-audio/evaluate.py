"""The quality table: AIC-A, Opus and Lyra v2 on speakers that no training saw, clean and with loss.

    python evaluate.py

AIC-A and Opus pass through a trunk's own packets, repair and concealment (`benches/aic_packets.rs`, in
Rust): rates are of the bytes that it wrote. Each packet that is sent in a lost moment is lost, the same
moments for each codec: at random, or in bursts of 120 ms in the mean (Gilbert's two states). AIC-A
repeats frames and Opus has in-band FEC, as a trunk decides it by the loss; "plain" is Opus decoded
without its networks, as browsers do. Lyra v2 runs by its TFLite files, without the 48 kHz of the
others, with the concealment of its library: 80 ms of the decoder without features, then 40 ms of fading
(here to silence; the library fades to comfort noise).

Prints Markdown: payload and wire kbit/s (IPv4, UDP, RTP, SRTP) and the scores of scores.py, the mean
over the utterances with the interval that holds 95 % of the means of resampled utterances; then AIC-A
less Lyra v2 in the same losses, utterance by utterance; then what the wire saves, with what it costs.
"""

import argparse
import json
import os
import pathlib
import subprocess

os.environ.setdefault("OMP_NUM_THREADS", "1")  # many small products: threads would wait for each other

import numpy as np
import scipy.signal

from baselines import LYRA_STAGES, Lyra
from scores import NAMES, Scores
from speech import FRAME, RATE, files, held_apart, read

OVERHEAD = 20 + 8 + 12 + 10  # IPv4, UDP, RTP, SRTP tag: bytes per packet
SECONDS = 8  # of an utterance
LOSSES = (0.1, 0.2, 0.05)
WHOLE_AT = (0.0,)  # losses that are measured on all utterances, others on every second one
CLEAN = "no loss"
FEW = "10% random"  # where packets of 20 ms are measured too
BURST = 6  # mean length in slots of 20 ms
SPARED = 10  # slots at the start in which nothing is lost
WHOLE = 3  # frames of the longest packets of a trunk
BROWSER = "Opus 32 plain, 20 ms"  # WebRTC's default: fullband, 20 ms, no networks
AGAINST = {"AIC-A 14": "Lyra v2 3.2", "AIC-A 18": "Lyra v2 3.2", "AIC-A 33": "Lyra v2 6.0"}
DRAWS = 5000


def slots(count, ratio, burst, seed):
    """One flag per 20 ms: what is sent then is lost."""
    random = np.random.default_rng(seed)
    if not burst:
        lost = random.random(count) < ratio
    else:
        lost, bad = np.zeros(count, dtype=bool), False
        begins = ratio / (1 - ratio) / BURST
        for i, draw in enumerate(random.random(count)):
            bad = draw >= 1 / BURST if bad else draw < begins
            lost[i] = bad
    lost[:SPARED] = False
    return lost


def losses(speech):
    """Name of a loss: (share, {name of the utterance: flags})."""
    kinds = {CLEAN: (0.0, False)}
    kinds |= {f"{ratio:.0%} {word}": (ratio, burst) for ratio in LOSSES
              for burst, word in ((False, "random"), (True, "bursts"))}
    return {kind: (ratio, {name: slots(len(x) // FRAME + 8, ratio, burst, seed)
                           for seed, (name, x) in enumerate(speech.items())
                           if ratio in WHOLE_AT or seed % 2 == 0})
            for kind, (ratio, burst) in kinds.items()}


def frames_lost(flags, frames):
    """Flags of frames in packets of so many: a packet is sent with its last frame."""
    return np.repeat(flags[frames - 1::frames], frames)


def through_packets(folder, speech, lost, only):
    """Runs the trunk's packets; [(row, loss, payload kbit/s)]. The sound is in FOLDER/ROW, LOSS."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, x in speech.items():
        scipy.signal.resample_poly(x, 3, 1).astype("<f4").tofile(folder / f"{name}.f32")
    (folder / "losses.json").write_text(json.dumps({
        kind: {"ratio": ratio, "lost": {n: "".join("01"[int(f)] for f in flags) for n, flags in of.items()}}
        for kind, (ratio, of) in lost.items()}))
    root = pathlib.Path(__file__).resolve().parents[2]
    subprocess.run(["cargo", "test", "--locked", "--quiet", "--bench", "aic-packets", "--", folder.resolve(), *only],
                   cwd=root, check=True, stdout=subprocess.DEVNULL)
    return [(row["row"], row["loss"], row["payload_kbps"]) for row in json.loads((folder / "rows.json").read_text())]


class Table:
    """Scores of each row and loss, per utterance, kept in a file: a later run measures what is new."""

    def __init__(self, speech, keep, visqol):
        self.speech, self.keep, self.scores = speech, keep, Scores(visqol)
        self.rows = json.loads(keep.read_text()) if keep.exists() else {}

    def measure(self, row, loss, kbps, names, sound):
        """`sound` gives the samples of an utterance, by its name."""
        key = f"{row}, {loss}"
        if key not in self.rows:
            each = [list(map(float, self.scores(sound(name), self.speech[name]))) for name in names]
            # Another run may have measured others meanwhile.
            self.rows = json.loads(self.keep.read_text()) if self.keep.exists() else {}
            self.rows[key] = {"kbps": kbps, "scores": each}
            self.keep.write_text(json.dumps(self.rows, indent=1))
            print(key, np.mean(each, 0).round(3), flush=True)

    def each(self, row, loss):
        return np.array(self.rows[f"{row}, {loss}"]["scores"])


def means(each):
    """(mean, low, high) per score: 95 % of the means of resampled utterances."""
    drawn = each[np.random.default_rng(1).integers(len(each), size=(DRAWS, len(each)))].mean(1)
    return each.mean(0), *np.percentile(drawn, (2.5, 97.5), axis=0)


def measure_lyra(table, lost, shared):
    lyra = Lyra(f"{shared}/baselines/lyra-v2")
    for kbps in (3.2, 6.0):
        codes = {name: lyra.codes(x, LYRA_STAGES[kbps]) for name, x in table.speech.items()}
        for kind, (_, of) in lost.items():
            for frames in (WHOLE, 1) if kind == FEW else (WHOLE,):
                row = f"Lyra v2 {kbps}, {20 * frames} ms"
                table.measure(row, kind, kbps, of, lambda name: lyra.sound(
                    codes[name], frames_lost(of[name], frames), table.speech[name]))


def print_table(table, lost):
    print(f"| codec, packets | loss | payload kbit/s | wire kbit/s | {' | '.join(NAMES)} |\n|{'---|' * (4 + len(NAMES))}")
    for kind in lost:
        for key, row in table.rows.items():
            if key.endswith(f", {kind}"):
                name = key[:-len(kind) - 2]
                wire = row["kbps"] + OVERHEAD * 8 / int(name.split()[-2])
                print(f"| {name} | {kind} | {row['kbps']:.2f} | {wire:.1f} | " + " | ".join(
                    f"{m:.3f} ±{(b - a) / 2:.3f}" if n == "STOI" else f"{m:.2f} ±{(b - a) / 2:.2f}"
                    for n, m, a, b in zip(NAMES, *means(np.array(row["scores"])))) + " |")


def print_differences(table, lost):
    print(f"\n| less | loss | {' | '.join(NAMES)} |\n|{'---|' * (2 + len(NAMES))}")
    for ours, other in AGAINST.items():
        for kind in lost:
            for frames in (WHOLE, 1):
                a, b = f"{ours}, {20 * frames} ms", f"{other}, {20 * frames} ms"
                if not {f"{a}, {kind}", f"{b}, {kind}"} <= set(table.rows):
                    continue
                print(f"| {a} less {other} | {kind} | " + " | ".join(
                    f"{m:+.3f} ({low:+.3f} to {high:+.3f})"
                    for m, low, high in zip(*means(table.each(a, kind) - table.each(b, kind)))) + " |")


def print_savings(table):
    """What the wire saves, never without what it costs."""
    if f"{BROWSER}, {CLEAN}" not in table.rows:
        return
    print(f"\n| codec, packets | wire kbit/s | against {BROWSER} | cost: {', '.join(NAMES)} |\n|---|---|---|---|")
    whole = table.rows[f"{BROWSER}, {CLEAN}"]["kbps"] + OVERHEAD * 0.4
    for key, row in table.rows.items():
        if key.endswith(CLEAN) and key.startswith("AIC-A"):
            name = key[:-len(CLEAN) - 2]
            wire = row["kbps"] + OVERHEAD * 8 / int(name.split()[-2])
            cost = (table.each(name, CLEAN) - table.each(BROWSER, CLEAN)).mean(0)
            print(f"| {name} | {wire:.1f} | {100 * (wire / whole - 1):.0f} % | " + ", ".join(f"{c:+.2f}" for c in cost) + " |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--shared", default="../../../shared/data", help="folder with speech/ and baselines/")
    p.add_argument("--speech", help="folder; the files that training holds apart of SHARED/speech/librispeech-251-speakers unless said")
    p.add_argument("--utterances", type=int, default=24)
    p.add_argument("--runs", default="runs/quality", type=pathlib.Path, help="folder for the sound, and for scores that a later run keeps")
    p.add_argument("--only", nargs="*", default=[], help="parts of the names of rows of AIC-A and Opus")
    p.add_argument("--fast", action="store_true", help="no ViSQOL, which takes longer than all others together")
    p.add_argument("--skip", choices=("packets", "lyra"), help="leave out AIC-A and Opus, or Lyra v2")
    p.add_argument("--print", action="store_true", help="print the tables of what was measured before")
    args = p.parse_args()
    paths = files(args.speech) if args.speech else held_apart(
        files(f"{args.shared}/speech/librispeech-251-speakers"))
    paths = paths[::max(1, len(paths) // args.utterances)][:args.utterances]
    speech = {path.stem: read(path)[:SECONDS * RATE] for path in paths}
    speech = {name: x[:len(x) // FRAME * FRAME] for name, x in speech.items()}
    lost = losses(speech)
    args.runs.mkdir(parents=True, exist_ok=True)
    table = Table(speech, args.runs / ("scores-fast.json" if args.fast else "scores.json"), not args.fast)
    if not args.print and args.skip != "packets":
        rows = through_packets(args.runs / "packets", speech, lost, args.only)
        for row, kind, kbps in sorted(rows, key=lambda r: list(lost).index(r[1])):
            place = args.runs / "packets" / f"{row}, {kind}"
            table.measure(row, kind, kbps, lost[kind][1], lambda name: np.fromfile(place / f"{name}.i16", "<i2").astype(np.float32) / 32768)
    if not args.print and args.skip != "lyra":
        measure_lyra(table, lost, args.shared)
    print(f"{len(speech)} utterances, {sum(map(len, speech.values())) / RATE:.0f} s\n")
    print_table(table, lost)
    print_differences(table, lost)
    print_savings(table)


if __name__ == "__main__":
    main()
