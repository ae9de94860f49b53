"""Codes <-> bytes: the context net in integers, and the range coder. The reference of `src/aic`.

A frame's codes are coded one after another; a small net guesses each from the sum of those before it
in the frame and from the sums of the two frames before, if these are in the same packet: nothing
outside the packet is used, so that a lost one costs nothing more. All arithmetic is that of 32-bit
integers, so every machine finds the same frequencies. Tensors: `context.*` of the weights file.
"""

import numpy as np
from safetensors.numpy import load_file

AGES = 3  # frames of the packet before this one: none, one, two or more
HIDDEN = 48
INPUTS_MOST, HIDDEN_MOST = 2047, 1023
TOTAL_BITS = 15
TOTAL = 1 << TOTAL_BITS
ENTRIES, LATENT = 16, 64


class Context:
    def __init__(self, tensors):
        """`tensors`: of the weights file, or its path."""
        if not isinstance(tensors, dict):
            tensors = load_file(tensors)
        # Sums of products of these integers are exact in float64, and BLAS makes them fast.
        part = {k: np.asarray(tensors[f"context.{k}"]).astype(np.float64) for k in (
            "hidden.weight", "hidden.bias", "out.weight", "out.bias")}
        self.hidden, self.hidden_bias = part["hidden.weight"], part["hidden.bias"]
        self.out, self.out_bias = part["out.weight"], part["out.bias"]
        self.books, self.shift, self.exp = (
            np.asarray(tensors[f"context.{k}"]).astype(np.int64) for k in ("books", "shift", "exp"))

    def frequencies(self, stage, now, past, age):
        """Of one stage for n frames: sums so far [n, 64], of the two frames before [n, 128], both as
        integers; their age -> [n, 16], each row at least 1 and TOTAL together."""
        x = np.clip(np.concatenate([now, past], 1), -INPUTS_MOST, INPUTS_MOST).astype(np.float64)
        first, second = (int(s) for s in self.shift[stage])
        a = (x @ self.hidden[stage].T + self.hidden_bias[stage][age]).astype(np.int64) >> first
        h = np.concatenate([np.clip(a, 0, HIDDEN_MOST), x[:, :LATENT]], 1).astype(np.float64)
        logits = (h @ self.out[stage].T + self.out_bias[stage][age]).astype(np.int64) >> second
        most = logits.max(1, keepdims=True)
        weight = self.exp[np.minimum(most - logits, len(self.exp) - 1)]
        f = 1 + weight * (TOTAL - ENTRIES) // weight.sum(1, keepdims=True)
        f[np.arange(len(f)), logits.argmax(1)] += TOTAL - f.sum(1)
        return f

    def sums(self, codes):
        """[..., stages] -> [..., 64] as integers"""
        return sum(self.books[k][codes[..., k]] for k in range(codes.shape[-1]))

    def packets(self, redundant, frames):
        """Of many packets at once: codes [n, R, T] and [n, F, S], the redundant frames first -> a list
        of frequencies [n, stages, 16] for each frame of a packet."""
        sums = [np.zeros((len(frames), LATENT), dtype=np.int64)] * 2
        out = []
        for codes in [redundant[:, i] for i in range(redundant.shape[1])] + [frames[:, i] for i in range(frames.shape[1])]:
            past, age = np.concatenate([sums[-1], sums[-2]], 1), min(len(out), AGES - 1)
            now, rows = np.zeros_like(sums[0]), []
            for k in range(codes.shape[1]):
                rows.append(self.frequencies(k, now, past, age))
                now = now + self.books[k][codes[:, k]]
            out.append(np.stack(rows, 1))
            sums.append(now)
        return out


class Encoder:
    """Byte-wise range coder with 32 bits; a carry goes into the bytes that are already written."""

    def __init__(self):
        self.low, self.range, self.out = 0, 0xffff_ffff, bytearray()

    def carry(self):
        at = len(self.out) - 1
        while self.out[at] == 255:
            self.out[at] = 0
            at -= 1
        self.out[at] += 1

    def encode(self, start, size):
        step = self.range >> TOTAL_BITS
        self.low += start * step
        if self.low >> 32:
            self.low &= 0xffff_ffff
            self.carry()
        self.range = size * step
        while self.range < 1 << 24:
            self.out.append(self.low >> 24)
            self.low, self.range = (self.low << 8) & 0xffff_ffff, self.range << 8

    def finish(self):
        """The fewest bytes; those that follow count as zeros."""
        for bits in (32, 24):
            value = -(-self.low >> bits) << bits
            if value < self.low + self.range:
                break
        if value >> 32:
            self.carry()
        if bits == 24:
            self.out.append(value >> 24 & 255)
        return bytes(self.out).rstrip(b"\0")


class Decoder:
    def __init__(self, data):
        self.data, self.at, self.range = data, 4, 0xffff_ffff
        self.value = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def decode(self, frequencies):
        step = self.range >> TOTAL_BITS
        target = self.value // step
        if target >= TOTAL:
            raise ValueError("the payload is damaged")
        ends = np.cumsum(frequencies)
        code = int(np.searchsorted(ends, target, side="right"))
        self.value -= int(ends[code] - frequencies[code]) * step
        self.range = int(frequencies[code]) * step
        while self.range < 1 << 24:
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.value, self.range, self.at = self.value << 8 | byte, self.range << 8, self.at + 1
        return code


def pack_all(context, redundant, frames):
    """Packets of codes [n, R, T] and [n, F, S] -> (n times bytes, frequencies as of `Context.packets`)"""
    frequencies, out = context.packets(redundant, frames), []
    codes = [*redundant.swapaxes(0, 1), *frames.swapaxes(0, 1)]
    pairs = []  # for each frame: starts and sizes [n, stages]
    for here, rows in zip(codes, frequencies):
        size = np.take_along_axis(rows, here[..., None], 2)[..., 0]
        pairs.append((np.take_along_axis(rows.cumsum(2), here[..., None], 2)[..., 0] - size, size))
    for packet in range(len(frames)):
        coder = Encoder()
        for starts, sizes in pairs:
            for start, size in zip(starts[packet].tolist(), sizes[packet].tolist()):
                coder.encode(start, size)
        out.append(coder.finish())
    return out, frequencies


def pack(context, redundant, frames):
    """One packet, codes [R, T] and [F, S] -> (bytes, a list of frequencies [stages, 16] per frame)"""
    data, frequencies = pack_all(context, redundant[None], frames[None])
    return data[0], [rows[0] for rows in frequencies]


def unpack(context, data, redundant, fewer, frames, stages):
    """The codes of `redundant` frames of `fewer` stages, then of `frames` of `stages`. Raises
    ValueError unless the bytes are exactly what `pack` makes of these codes."""
    decoder, done, past = Decoder(data), [], np.zeros((2, LATENT), dtype=np.int64)
    for index in range(redundant + frames):
        now, codes = np.zeros((1, LATENT), dtype=np.int64), []
        for k in range(fewer if index < redundant else stages):
            row = context.frequencies(k, now, past.reshape(1, -1), min(index, AGES - 1))[0]
            codes.append(decoder.decode(row))
            now = now + context.books[k][codes[-1]]
        past = np.concatenate([now, past[:1]])
        done.append(codes)
    first = np.array(done[:redundant], dtype=np.int64).reshape(redundant, fewer)
    second = np.array(done[redundant:], dtype=np.int64)
    if pack(context, first, second)[0] != data:
        raise ValueError("the payload is no coding of its codes, or longer than that")
    return first, second
