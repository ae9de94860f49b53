"""PESQ-WB, STOI, ViSQOL and DNSMOS (P.835 overall and P.808) of a sound beside the original.

The first three compare with the original and punish codecs that put a likeness in its place; DNSMOS
hears the output alone. P.862 (PESQ) is licensed: these figures are measurements of our own, not a
certified result.
"""

import importlib.util
import pathlib

import numpy as np
import onnxruntime
from pesq import NoUtterancesError, pesq
from pystoi import stoi

from speech import RATE

NAMES = ("PESQ-WB", "STOI", "ViSQOL", "DNSMOS OVRL", "DNSMOS P.808")
HEARD = int(9.01 * RATE)  # what DNSMOS hears at once


def slaney(bands, n_fft):
    """[bins, bands]: the mel filters of Slaney's toolbox, each of the same area."""
    hz = np.arange(n_fft // 2 + 1) * RATE / n_fft
    step = np.log(6.4) / 27

    def to_mel(f):
        return f * 3 / 200 if f < 1000 else 15 + np.log(f / 1000) / step

    def to_hz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * np.exp(step * (mel - 15))
    edges = np.array([to_hz(mel) for mel in np.linspace(0, to_mel(RATE / 2), bands + 2)])
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (hz[:, None] - low) / (centre - low), (high - hz[:, None]) / (high - centre)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)


class Dnsmos:
    """The published models, in the package `speechmos` (which would pull in far more to run them)."""

    def __init__(self):
        folder = pathlib.Path(importlib.util.find_spec("speechmos").origin).parent / "dnsmos_models"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1

        def load(name):
            return onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        self.p835, self.p808 = load("sig_bak_ovr.onnx"), load("model_v8.onnx")
        self.filters = slaney(120, 321)

    def features(self, x):
        """[frames, 120]: mel powers in dB below the loudest, as the P.808 model was trained on."""
        padded = np.pad(x, 160)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(321) / 321)
        frames = np.lib.stride_tricks.sliding_window_view(padded, 321)[::160] * window
        power = np.abs(np.fft.rfft(frames)) ** 2 @ self.filters
        level = 10 * np.log10(np.maximum(power, 1e-10))
        return ((np.maximum(level - level.max(), -80) + 40) / 40).astype(np.float32)

    def __call__(self, x):
        while len(x) < HEARD:
            x = np.append(x, x)
        x = np.clip(x[:HEARD], -1, 1).astype(np.float32)
        overall = float(self.p835.run(None, {"input_1": x[None]})[0][0][2])
        general = float(self.p808.run(None, {"input_1": self.features(x[:-160])[None]})[0][0][0])
        return -0.06766283 * overall ** 2 + 1.11546468 * overall + 0.04602535, general


class Scores:
    """`visqol` takes longer than all others together; without it that figure is no number."""

    def __init__(self, visqol=True):
        self.dnsmos, self.visqol = Dnsmos(), None
        if visqol:
            from visqol import VisqolApi
            self.visqol = VisqolApi()
            self.visqol.create(mode="speech")

    def __call__(self, made, wanted):
        """In the order of NAMES."""
        made, wanted = made.astype(np.float64), wanted.astype(np.float64)
        try:
            quality = pesq(RATE, wanted.astype(np.float32), made.astype(np.float32), "wb")
        except NoUtterancesError:
            quality = 1.0
        likeness = self.visqol.measure_from_arrays(wanted, made, RATE).moslqo if self.visqol else float("nan")
        return quality, stoi(wanted, made, RATE), likeness, *self.dnsmos(made)
