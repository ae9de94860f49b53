"""Holds weights against the model's promises; `.ci/train-smoke` runs it.

    python check.py aic-a2.safetensors [FOLDER WITH LYRA V2'S TFLITE FILES] [--own-books]

Streaming has to equal the whole file. With the folder also: features and sound as TFLite computes
them, up to its int8 activations (which float does not have), and the very same codes for the same
features where the codebooks are Lyra's own. Packets of random codes have to survive the range coder,
with the file's context net or, where it has none, with a random one.
"""

import sys

import numpy as np
import torch
from safetensors.torch import load_file

import coder
from context import REDUNDANT, Net, quantise
from model import ENTRIES, FRAME, RATE, STAGES, greedy, load

FEATURES_DB, SOUND_DB = 18.0, 18.0  # least signal-to-noise ratios; 23.6 and 22 to 23 on speech


@torch.no_grad()
def streaming_is_off_by(codec, frames=100):
    """Largest difference between the whole file and pieces of it, of latents and of samples."""
    samples = 0.1 * torch.randn(1, frames * FRAME, generator=torch.Generator().manual_seed(1))
    whole, _ = codec.encoder(samples, codec.encoder.fresh(1))
    sound, _ = codec.decoder(whole, codec.decoder.fresh(1))
    before, after, latents, sounds, at = codec.encoder.fresh(1), codec.decoder.fresh(1), [], [], 0
    for count in (1, 7, 1, 12, 30, 2, 47):
        latent, before = codec.encoder(samples[:, at * FRAME:(at + count) * FRAME], before)
        piece, after = codec.decoder(latent, after)
        latents.append(latent)
        sounds.append(piece)
        at += count
    return (torch.cat(latents, 1) - whole).abs().max(), (torch.cat(sounds, 1) - sound).abs().max()


def ratio_db(made, wanted):
    made, wanted = np.asarray(made, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    return 10 * np.log10((wanted ** 2).sum() / ((made - wanted) ** 2).sum())


def speechlike(seconds=2):
    """A buzz of changing pitch and vowel, for where no recording is at hand."""
    t = np.arange(seconds * RATE) / RATE
    phase = 2 * np.pi * (110 * t + 20 * t ** 2)
    vowel = [np.exp(-((n * 150 - 500 - 300 * np.sin(3 * t)) / 600) ** 2) + 0.2 / n for n in range(1, 25)]
    tone = sum(a * np.sin(n * phase) for n, a in enumerate(vowel, 1)) * np.abs(np.sin(9 * t))
    noise = 0.003 * np.random.default_rng(1).standard_normal(len(t))
    return (0.1 * tone + noise).astype(np.float32)


@torch.no_grad()
def against_tflite(codec, folder):
    """(dB of features, dB of sound, share of equal codes over all stages)"""
    from baselines import Lyra
    lyra, samples = Lyra(folder), speechlike()
    encoder, decoder, features, codes, sound = lyra.load("soundstream_encoder"), lyra.load("lyragan"), [], [], []
    for frame in samples.reshape(-1, FRAME):
        features.append(lyra.run(encoder, frame.reshape(1, FRAME)).ravel())
        codes.append(lyra.encode(input_frames=features[-1].reshape(1, 1, -1), num_quantizers=np.int32(STAGES))["output_0"].ravel())
        sound.append(lyra.run(decoder, features[-1].reshape(1, 1, -1)).ravel())
    features = np.stack(features)
    made = codec.decoder(torch.from_numpy(features)[None], codec.decoder.fresh(1))[0][0]
    same = greedy(codec.books, torch.from_numpy(features)).numpy() == np.stack(codes)[:, :STAGES]
    return ratio_db(codec.latents(torch.from_numpy(samples)), features), ratio_db(made, np.concatenate(sound)), same.mean()


def coder_is_wrong(weights, codec, tries=8):
    """What is wrong with the range coder or its context net; None where nothing is."""
    tensors = {k: v.numpy() for k, v in load_file(weights).items() if k.startswith("context.")}
    context = coder.Context(tensors or {k: v.numpy() for k, v in quantise(Net(), codec.books).items()})
    random = np.random.default_rng(1)
    for _ in range(tries):
        redundant = random.integers(0, ENTRIES, (random.integers(0, 3), REDUNDANT))
        frames = random.integers(0, ENTRIES, (random.integers(1, 5), random.choice([14, 18, 33, STAGES])))
        written, frequencies = coder.pack(context, redundant, frames)
        if any((f.sum(1) != coder.TOTAL).any() or (f < 1).any() for f in frequencies):
            return "frequencies do not add up"
        made = coder.unpack(context, written, len(redundant), REDUNDANT, *frames.shape)
        if not all(np.array_equal(a, b) for a, b in zip(made, (redundant, frames))):
            return "a packet does not decode to its codes"
        try:
            coder.unpack(context, written + b"\0", len(redundant), REDUNDANT, *frames.shape)
            return "a payload that is too long passes"
        except ValueError:
            pass
    return None


def main():
    codec = load(sys.argv[1])
    for what, off in zip(("latents", "samples"), streaming_is_off_by(codec)):
        print(f"streaming is off by {off:.1e} in {what}")
        if not off < 2e-4:
            raise SystemExit("streaming does not equal the whole file")
    if wrong := coder_is_wrong(sys.argv[1], codec):
        raise SystemExit(wrong)
    print("packets decode to their codes")
    if len(sys.argv) > 2:
        features, sound, same = against_tflite(codec, sys.argv[2])
        print(f"against TFLite: features {features:.1f} dB, sound {sound:.1f} dB, {same:.2%} of codes equal")
        if not (features > FEATURES_DB and sound > SOUND_DB):
            raise SystemExit("this is not Lyra v2's network")
        if "--own-books" not in sys.argv and not same > 0.999:
            raise SystemExit("these are not Lyra v2's codebooks")


if __name__ == "__main__":
    main()
