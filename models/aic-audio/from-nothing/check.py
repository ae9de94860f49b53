"""Holds exported weights against the model's promises; `.ci/train-smoke` runs it.

    PYTHONPATH=.. python check.py aic-a.safetensors
"""

import sys

import torch

from model import FRAME, load


@torch.no_grad()
def streaming_is_off_by(codec, frames=100):
    """Largest difference between the whole file and pieces of it, of latents and of samples."""
    samples = 0.1 * torch.randn(1, frames * FRAME, generator=torch.Generator().manual_seed(1))
    whole, _ = codec.encoder(samples, codec.encoder.fresh(1))
    sound = codec.decoder(whole, codec.decoder.fresh(1))[0]
    before, after, latents, sounds, at = codec.encoder.fresh(1), codec.decoder.fresh(1), [], [], 0
    for count in (1, 7, 1, 12, 30, 2, 47):
        latent, before = codec.encoder(samples[:, at * FRAME:(at + count) * FRAME], before)
        piece, after, _ = codec.decoder(latent, after)
        latents.append(latent)
        sounds.append(piece)
        at += count
    return (torch.cat(latents, 1) - whole).abs().max(), (torch.cat(sounds, 1) - sound).abs().max()


def main():
    codec = load(sys.argv[1])
    for what, off in zip(("latents", "samples"), streaming_is_off_by(codec)):
        print(f"streaming is off by {off:.1e} in {what}")
        if not off < 1e-4:
            raise SystemExit("streaming does not equal the whole file")


if __name__ == "__main__":
    main()
