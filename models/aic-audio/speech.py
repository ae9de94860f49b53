"""Speech in files: what the codec takes of it, and which of it is held apart. Needs no torch."""

import pathlib

import numpy as np
import scipy.signal
import soundfile

RATE = 16000
FRAME = 320
EVERY = 16  # one file of so many is held apart


def read(path):
    """Mono float32 at RATE."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(1)
    if rate != RATE:
        common = np.gcd(rate, RATE)
        samples = scipy.signal.resample_poly(samples, RATE // common, rate // common)
    return samples.astype(np.float32)


def files(folder, most=0):
    """Audio under a folder, in order; no more than `most`, spread over all, unless that is 0."""
    found = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix in (".flac", ".wav", ".ogg"))
    if not found:
        raise SystemExit(f"no .flac, .wav or .ogg under {folder}")
    return found[::-(-len(found) // most)] if most else found


def held_apart(paths):
    return paths[EVERY - 1::EVERY]
