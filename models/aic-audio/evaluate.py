"""The quality table: AIC-A, Opus and Lyra v2 on speakers that no training saw.

    python evaluate.py --speech ../../../shared/data/speech/librispeech --weights aic-a.safetensors

Prints Markdown: payload and wire kbit/s, PESQ-WB, STOI, DNSMOS (P.835 overall), the mean over the
utterances. PESQ and STOI compare with the original and punish codecs that put a likeness in its
place; DNSMOS hears the output alone. P.862 (PESQ) is licensed: these figures are measurements of
our own, not a certified result.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import onnxruntime
import scipy.signal
import soundfile
import torch
from pesq import NoUtterancesError, pesq
from pystoi import stoi
from safetensors.torch import load_file

import data
from model import DELAY, FRAME, RATE, STAGES, Codec

OVERHEAD = 20 + 8 + 12 + 10  # IPv4, UDP, RTP, SRTP tag: bytes per packet
HEADER = 2  # of an AIC-A payload
OPUS = (6, 8, 10, 12, 16, 20, 24, 32)
LYRA = {3.2: 16, 6.0: 30, 9.2: 46}  # kbit/s: stages of 4 bits


def load_codec(weights):
    shape = json.loads(pathlib.Path(weights).with_suffix(".json").read_text())["shape"]
    codec = Codec(tuple(shape["encoder"]), tuple(shape["decoder"]), shape["latent"])
    codec.load_state_dict(load_file(weights), strict=False)
    return codec.eval()


def bursts(frames, rate, seed, length=2.0):
    """Gilbert-Elliott losses, one flag per frame; no loss in the first 200 ms."""
    random, bad, lost = np.random.default_rng(seed), False, np.zeros(frames, dtype=bool)
    for i in range(10, frames):
        bad = random.random() < (1 - 1 / length if bad else rate / (1 - rate) / length)
        lost[i] = bad
    return lost


def aic(codec, samples, stages, loss=0.0, seed=0):
    whole = np.pad(samples, (0, -len(samples) % FRAME + FRAME))
    codes = codec.encode(torch.from_numpy(whole).unsqueeze(0), stages)
    lost = torch.from_numpy(bursts(codes.shape[1], loss, seed)).unsqueeze(0) if loss else None
    return codec.decode(codes, lost)[0].numpy()[DELAY:DELAY + len(samples)]


def aic_rates(stages, frames):
    """(payload, wire) kbit/s with so many frames per packet."""
    payload = HEADER + -(-frames * stages * 10 // 8)
    return payload * 8 / (20 * frames), (payload + OVERHEAD) * 8 / (20 * frames)


def opus(samples, kbps):
    """(decoded, measured payload kbit/s), 20 ms packets, as WebRTC's wideband voice."""
    with tempfile.TemporaryDirectory() as folder:
        source, coded, out = (f"{folder}/{n}" for n in ("a.wav", "b.opus", "c.wav"))
        soundfile.write(source, samples, RATE)
        run = ["ffmpeg", "-v", "error", "-y", "-i"]
        subprocess.run([*run, source, "-c:a", "libopus", "-application", "voip", "-vbr", "on", "-b:a",
                        f"{kbps}k", "-frame_duration", "20", coded], check=True)
        subprocess.run([*run, coded, "-ar", str(RATE), "-ac", "1", out], check=True)
        sizes = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0", coded],
                               check=True, capture_output=True, text=True).stdout.replace(",", "").split()
        decoded, _ = soundfile.read(out, dtype="float32")
    return decoded, np.mean([int(s) for s in sizes]) * 8 / 20


class Lyra:
    """Lyra v2 from its three TFLite files."""

    def __init__(self, folder):
        from ai_edge_litert.interpreter import Interpreter
        def load(name):
            it = Interpreter(f"{folder}/{name}.tflite", num_threads=1)
            it.allocate_tensors()
            return it
        self.load = load
        quantiser = load("quantizer")
        self.encode, self.decode = (quantiser.get_signature_runner(n) for n in ("encode", "decode"))

    @staticmethod
    def run(it, value):
        it.set_tensor(it.get_input_details()[0]["index"], value)
        it.invoke()
        return it.get_tensor(it.get_output_details()[0]["index"])

    def __call__(self, samples, stages):
        encoder, decoder, out = self.load("soundstream_encoder"), self.load("lyragan"), []
        whole = np.pad(samples, (0, -len(samples) % FRAME + 4 * FRAME))
        for frame in whole.reshape(-1, FRAME):
            features = self.run(encoder, frame.reshape(1, FRAME).astype(np.float32))
            codes = self.encode(input_frames=features.reshape(1, 1, 64), num_quantizers=np.int32(stages))["output_0"]
            features = self.decode(encoding_indices=codes)["output_0"]
            out.append(self.run(decoder, features.reshape(1, 1, 64)).ravel())
        return np.concatenate(out).astype(np.float32)


def align(made, wanted, most=1200):
    """Cuts the delay that correlates best; a codec's latency is no fault of its sound. AIC-A needs
    none of it: its delay is known, and a coarse likeness correlates best a pitch period away."""
    size = min(len(made), len(wanted))
    correlation = scipy.signal.correlate(made, wanted, "full", "fft")
    middle = len(wanted) - 1
    lag = int(np.argmax(np.abs(correlation[middle - 200:middle + most]))) - 200
    made = made[lag:] if lag >= 0 else np.pad(made, (-lag, 0))
    return np.pad(made, (0, max(0, len(wanted) - len(made))))[:len(wanted)]


class Scores:
    def __init__(self, dnsmos):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(dnsmos, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def dnsmos(self, x):
        """Overall P.835 score with the published polynomial of the personalised-free model."""
        size = int(9.01 * RATE)
        x = np.tile(x, -(-size // len(x)))[:size]
        overall = float(self.session.run(None, {self.input: x[None].astype(np.float32)})[0][0][2])
        return -0.06766283 * overall ** 2 + 1.11546468 * overall + 0.04602535

    def __call__(self, made, wanted):
        try:
            quality = pesq(RATE, wanted, made, "wb")
        except NoUtterancesError:
            quality = 1.0
        return quality, stoi(wanted, made, RATE), self.dnsmos(made)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--speech", required=True)
    p.add_argument("--weights", default="aic-a.safetensors")
    p.add_argument("--shared", default="../../../shared/data", help="folder with metrics/ and baselines/")
    p.add_argument("--utterances", type=int, default=24)
    p.add_argument("--only", nargs="*", default=["reference", "aic", "opus", "lyra"])
    args = p.parse_args()
    torch.set_num_threads(1)
    paths = data.files(args.speech)
    paths = paths[::max(1, len(paths) // args.utterances)][:args.utterances]
    speech = [data.read(f)[:8 * RATE] for f in paths]
    scores = Scores(f"{args.shared}/metrics/dnsmos_sig_bak_ovr.onnx")
    print(f"{len(speech)} utterances, {sum(map(len, speech)) / RATE:.0f} s\n")
    print("| codec | payload kbit/s | wire kbit/s | PESQ-WB | STOI | DNSMOS OVRL |\n|---|---|---|---|---|---|")

    def row(name, payload, wire, outputs):
        means = np.mean([scores(y, x) for y, x in zip(outputs, speech)], 0)
        print(f"| {name} | {payload} | {wire} | {means[0]:.2f} | {means[1]:.3f} | {means[2]:.2f} |", flush=True)

    if "reference" in args.only:
        row("original", 256, "-", speech)
    if "aic" in args.only:
        codec = load_codec(args.weights)
        for stages in (3, 6, STAGES):
            payload = f"{stages / 2:.1f}"
            wire = " / ".join(f"{aic_rates(stages, frames)[1]:.1f}" for frames in (1, 2, 3))
            row(f"AIC-A {payload} (wire at 20 / 40 / 60 ms)", payload, wire, [aic(codec, x, stages) for x in speech])
        for loss in (0.05, 0.1, 0.2):
            made = [aic(codec, x, 6, loss, seed) for seed, x in enumerate(speech)]
            row(f"AIC-A 3.0, {loss:.0%} of frames lost in bursts, no redundancy", "3.0", "-", made)
    if "lyra" in args.only:
        lyra = Lyra(f"{args.shared}/baselines/lyra-v2")
        for kbps, stages in LYRA.items():
            row(f"Lyra v2 {kbps}", kbps, f"{kbps + OVERHEAD * 0.4:.1f}", [align(lyra(x, stages), x) for x in speech])
    if "opus" in args.only:
        for kbps in OPUS:
            outputs, rates = zip(*(opus(x, kbps) for x in speech))
            payload = np.mean(rates)
            outputs = [align(y, x) for y, x in zip(outputs, speech)]
            row(f"Opus {kbps}", f"{payload:.1f}", f"{payload + OVERHEAD * 0.4:.1f}", outputs)


if __name__ == "__main__":
    main()
