#!/usr/bin/env python3
"""Writes Silero VAD's 16 kHz network in the format of whisper.cpp and prints the file's SHA-256.

    pip install silero-vad==6.2.0 torch numpy
    convert.py .../silero_vad/data/silero_vad.jit 6.2.0 ggml-silero-v6.2.0.bin

Integers are little-endian and of 32 bits: magic, name, version, shapes of the network; then each
tensor with its rank, the length of its name, its type (0 float32, 1 float16), its shape from the
innermost dimension outwards, its name and its values. Weights of convolutions are float16.
"""

import hashlib
import struct
import sys

import numpy as np
import torch

ENCODER = [(129, 128), (128, 64), (64, 64), (64, 128)]
FRAME, CONTEXT, KERNEL, HIDDEN = 512, 64, 3, 128
BASIS = "_model.stft.forward_basis_buffer"
TENSORS = [
    *(f"_model.encoder.{i}.reparam_conv.{p}" for i in range(4) for p in ("weight", "bias")),
    *(f"_model.decoder.rnn.{p}" for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
    *(f"_model.decoder.decoder.2.{p}" for p in ("weight", "bias")),
    BASIS,
]


def integers(*values):
    return struct.pack(f"<{len(values)}i", *values)


def converted(network, version):
    name = b"silero-16k"
    out = bytearray(integers(0x67676D6C, len(name)) + name)
    out += integers(*map(int, version.split(".")), FRAME, CONTEXT, len(ENCODER))
    for inside, outside in ENCODER:
        out += integers(inside, outside, KERNEL)
    out += integers(HIDDEN, HIDDEN, HIDDEN, 1)
    for key in TENSORS:
        values = network[key].detach()
        # Only the basis keeps dimensions of one.
        values = (values if key == BASIS else values.squeeze()).numpy()
        half = key == BASIS or ("weight" in key and "rnn" not in key)
        values = values.astype("<f2" if half else "<f4")
        out += integers(values.ndim, len(key), int(half), *reversed(values.shape))
        out += key.encode() + np.ascontiguousarray(values).tobytes()
    return bytes(out)


if __name__ == "__main__":
    source, version, target = sys.argv[1:]
    data = converted(torch.jit.load(source, map_location="cpu").state_dict(), version)
    with open(target, "wb") as file:
        file.write(data)
    print(len(data), "bytes, sha256", hashlib.sha256(data).hexdigest())
