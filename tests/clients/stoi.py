"""How much of the speech in a recording is still understood: STOI against its source.

    .venv/bin/python tests/clients/stoi.py source.ts heard.wav

The recording is a piece of the source, which may be played in a loop: where it lies is found here.
One line of JSON: `stoi` (0-1, Taal et al. 2011) of the whole and of each five seconds, `stall_ms`
the longest time without sound where the source speaks.
"""

import argparse
import json

import av
import numpy as np
from pystoi import stoi
from scipy.signal import correlate

RATE = 10_000     # what STOI works at
WINDOW = 5 * RATE
SLACK = RATE // 5  # a jitter buffer may move a window so far against the whole
STEP = RATE // 50  # 20 ms


def read(path):
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts = []
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            parts += [r.to_ndarray()[0] for r in resampler.resample(frame)]
    parts += [r.to_ndarray()[0] for r in resampler.resample(None)]
    return np.concatenate(parts)


def offset(source, piece):
    """Where in `source` the piece lies best: by envelopes first, which survive any codec."""
    def envelope(x):
        level = np.abs(x[: len(x) // 50 * 50]).reshape(-1, 50).mean(1)  # 200 per second
        return level - level.mean()

    def best(whole, part):
        found = correlate(whole, part, mode="valid", method="fft")
        energy = correlate(whole**2, np.ones_like(part), mode="valid", method="fft")
        return int(np.argmax(found / np.sqrt(np.maximum(energy, 1e-9))))

    return best(envelope(source), envelope(piece)) * 50


def align(source, piece):
    """The part of `source` that a short piece belongs to, to the sample."""
    found = correlate(source, piece, mode="valid", method="fft")
    at = int(np.argmax(np.abs(found)))
    return source[at : at + len(piece)]


def stall(source, heard):
    """The longest run of 20 ms in which only the source sounds, in ms."""
    def level(x):
        return np.sqrt((x[: len(x) // STEP * STEP].reshape(-1, STEP) ** 2).mean(1))

    speaks, silent = level(source) > 0.02, level(heard) < 0.001
    longest = run = 0
    for gap in speaks & silent:
        run = run + 1 if gap else 0
        longest = max(longest, run)
    return longest * 20


def measure(source_path, heard_path):
    source, heard = read(source_path), read(heard_path)
    source = np.concatenate([source, source])
    at = offset(source, heard)
    padded = np.concatenate([np.zeros(SLACK, source.dtype), source, np.zeros(SLACK + len(heard))])
    scores, longest = [], 0
    for start in range(0, max(1, len(heard) - WINDOW // 2), WINDOW):
        piece = heard[start : start + WINDOW]
        around = padded[at + start : at + start + len(piece) + 2 * SLACK]
        match = align(around, piece)
        longest = max(longest, stall(match, piece))
        if np.sqrt((match**2).mean()) > 0.005:
            scores.append(float(stoi(match, piece, RATE)))
    return {
        "event": "report",
        "seconds": len(heard) / RATE,
        "stoi": float(np.mean(scores)) if scores else None,
        "windows": [round(s, 3) for s in scores],
        "stall_ms": longest,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("heard")
    args = parser.parse_args()
    print(json.dumps(measure(args.source, args.heard)))


if __name__ == "__main__":
    main()
