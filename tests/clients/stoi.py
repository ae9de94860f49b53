"""Intelligibility of the speech in a recording: STOI against its source.

    .venv/bin/python tests/clients/stoi.py source.ts heard.wav

The recording is a piece of the source, which may be looped; its position is found here.
One line of JSON: `stoi` (0-1, Taal et al. 2011) of the whole and of each five seconds; `stall_ms`,
the longest silence during speech of the source; `moved_ms`, the shift of the audio against the
source while a jitter buffer grew or shrank.
"""

import argparse
import json

import av
import numpy as np
from pystoi import stoi
from scipy.signal import correlate

RATE = 10_000     # what STOI works at
WINDOW = 5 * RATE
PIECE = RATE       # is aligned by itself: each time a jitter buffer stretches, all moves that follows
SLACK = RATE * 3 // 5  # so far at once
FINE = RATE // 1000
STEP = RATE // 50  # 20 ms


def read(path):
    """The audio of a file, padded with silence to the length of its video, as in a loop."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts = []
    with av.open(path) as container:
        length = int((container.duration or 0) / 1e6 * RATE)
        for frame in container.decode(audio=0):
            parts += [r.to_ndarray()[0] for r in resampler.resample(frame)]
    parts += [r.to_ndarray()[0] for r in resampler.resample(None)]
    sound = np.concatenate(parts)
    return np.concatenate([sound, np.zeros(max(0, length - len(sound)), sound.dtype)])


def offset(source, piece):
    """The best position of the piece in `source`: by envelopes first, which any codec preserves."""
    def envelope(x):
        level = np.abs(x[: len(x) // 50 * 50]).reshape(-1, 50).mean(1)  # 200 per second
        return level - level.mean()

    def best(whole, part):
        found = correlate(whole, part, mode="valid", method="fft")
        energy = correlate(whole**2, np.ones_like(part), mode="valid", method="fft")
        return int(np.argmax(found / np.sqrt(np.maximum(energy, 1e-9))))

    return best(envelope(source), envelope(piece)) * 50


def follow(source, heard, at):
    """The part of `source` that was received, piece by piece, beginning at `at`; and the shift of
    the audio meanwhile, in ms."""
    def envelope(x):
        return np.convolve(np.abs(x), np.ones(5 * FINE) / (5 * FINE), "same")[::FINE]

    def likeness(around, piece):
        piece = piece - piece.mean()
        found = correlate(around, piece, mode="valid", method="fft")
        energy = correlate(around**2, np.ones_like(piece), mode="valid", method="fft")
        return found / np.sqrt(np.maximum(energy * (piece**2).sum(), 1e-12))

    padded = np.concatenate([np.zeros(SLACK, source.dtype), source, np.zeros(SLACK + len(heard))])
    parts, moved = [], 0
    for start in range(0, len(heard), PIECE):
        piece = heard[start : start + PIECE]
        around = padded[at + start : at + start + len(piece) + 2 * SLACK]
        if len(piece) == PIECE and np.sqrt((piece**2).mean()) > 0.005:
            rough = likeness(envelope(around), envelope(piece))
            here = SLACK // FINE
            # All pauses look alike; accepts only a clearly better position.
            if rough.max() > 0.5 and rough.max() > rough[here] + 0.05:
                step = int(np.argmax(rough)) * FINE - SLACK
                at, moved = at + step, moved + abs(step)
                around = padded[at + start : at + start + len(piece) + 2 * SLACK]
            near = around[SLACK - 3 * FINE : SLACK + len(piece) + 3 * FINE]
            alike = np.abs(likeness(near, piece))
            # For a codec that invents the phase no position is better than the current one.
            at += int(np.argmax(alike)) - 3 * FINE if alike.max() > 0.7 else 0
            around = padded[at + start : at + start + len(piece) + 2 * SLACK]
        parts.append(around[SLACK : SLACK + len(piece)])
    return np.concatenate(parts), moved * 1000 // RATE


def stall(source, heard):
    """The longest run of 20 ms pieces in which only the source is audible, in ms."""
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
    match, moved = follow(source, heard, offset(source, heard))
    scores = []
    for start in range(0, max(1, len(heard) - WINDOW // 2), WINDOW):
        part = slice(start, start + WINDOW)
        if np.sqrt((match[part] ** 2).mean()) > 0.005:
            scores.append(float(stoi(match[part], heard[part], RATE)))
    return {
        "event": "report",
        "seconds": len(heard) / RATE,
        "stoi": float(np.mean(scores)) if scores else None,
        "windows": [round(s, 3) for s in scores],
        "stall_ms": stall(match, heard),
        "moved_ms": moved,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("heard")
    args = parser.parse_args()
    print(json.dumps(measure(args.source, args.heard)))


if __name__ == "__main__":
    main()
