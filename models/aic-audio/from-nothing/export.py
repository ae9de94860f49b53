"""Checkpoint -> weights that the appliance loads: safetensors, and a model card with their SHA-256.

    PYTHONPATH=.. python export.py runs/cpu/last.pt --out . --note "what it was trained on"

The card's `shape` and `sha256` are read by `src/aic/audio`, which refuses weights that differ.
"""

import argparse
import hashlib
import json
import pathlib

import torch
from safetensors.torch import save_file

import model

SKIP = ("quantiser.counts", "quantiser.sums")
LARGE = 4096  # values from which a tensor is stored as float16


def store(tensor):
    """Matrices as float16, which halves the file and changes no score; windows, biases and what
    else is small as float32."""
    kind = torch.float16 if tensor.numel() >= LARGE else torch.float32
    return tensor.to(kind).contiguous()


def example(codec):
    """Half a second of sound, its codes and what is made of them: the appliance's tests hold its own
    computation against this."""
    t = torch.arange(25 * model.FRAME) / model.RATE
    pitch = 2 * torch.pi * (110 * t + 20 * t ** 2)
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(1))
    samples = sum((pitch * n).sin() / n for n in range(1, 20)) * 0.1 * (9 * t).sin().abs() + 0.002 * noise
    codes = codec.encode(samples.unsqueeze(0))
    return {"samples": samples, "codes": codes[0].int(), "made": codec.decode(codes)[0]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("checkpoint")
    p.add_argument("--out", default=".")
    p.add_argument("--part", default="average", choices=("codec", "average"), help="weights as they are, or their moving average")
    p.add_argument("--note", default="", help="what the weights were trained on, in words")
    args = p.parse_args()
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=False)
    tensors = {k: store(v) for k, v in state[args.part].items() if k not in SKIP}
    out = pathlib.Path(args.out)
    weights = out / "aic-a.safetensors"
    save_file(tensors, weights, metadata={"format": "aic-a", "version": "1"})
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    codec = model.Codec(tuple(state["shape"]["encoder"]), tuple(state["shape"]["decoder"]), state["shape"]["latent"])
    encoder, search, decoder = codec.mmacs()
    card = {
        "name": "AIC-A", "version": 1, "id": digest[:8], "file": weights.name, "sha256": digest,
        "bytes": weights.stat().st_size, "licence": "Apache-2.0",
        "shape": state["shape"] | {"stages": model.STAGES, "entries": model.ENTRIES},
        "sample_rate": model.RATE, "frame_samples": model.FRAME,
        "algorithmic_latency_ms": 1000 * (model.FRAME + model.DELAY) / model.RATE,
        "parameters": sum(v.numel() for v in tensors.values()),
        "mmac_per_second": {"encoder": round(encoder), "search": round(search), "decoder": round(decoder)},
        "training": {
            "steps": state["step"], "minutes": round(state["seconds"] / 60, 1),
            "batch_seconds": state["args"]["batch"] * state["args"]["seconds"],
            "device": state["args"]["device"], "threads": state["args"]["threads"], "seed": state["args"]["seed"],
            "data": [pathlib.Path(f).name for f in state["args"]["speech"] + state["args"]["noise"]],
            "note": args.note,
        },
    }
    (out / "aic-a.json").write_text(json.dumps(card, indent=2) + "\n")
    save_file(example(model.load(weights)), out / "aic-a-example.safetensors")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
