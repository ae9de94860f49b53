"""Weights -> what the appliance loads: matrices as float16, the model card, and examples for tests.

    python export.py runs/aic-a2.safetensors --out . --speech FILE --note "what the context net was fitted on"

Writes `aic-a2.safetensors`, `aic-a2.json` (its card; `src/aic` refuses weights with another hash),
`aic-a2-example.safetensors` (a second of speech with latents, codes and sound) and
`aic-a2-packets.json` (codes, frequencies, bytes).
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import data
from coder import Context, pack, unpack
from model import BEAMS, CHANNELS, ENTRIES, FRAME, LATENT, RATE, STAGES, best, greedy, load

LARGE = 4096  # values from which a tensor is stored as float16
REDUNDANT = 8  # stages of a redundant frame
PACKETS = ((0, 1, 14), (0, 3, 18), (1, 1, 18), (2, 2, 33), (2, 1, 46), (0, 4, 14))  # redundant, frames, stages


def store(name, tensor):
    """Matrices of the network as float16; books, biases and the context net as they are."""
    half = tensor.is_floating_point() and tensor.numel() >= LARGE and name != "books"
    return (tensor.half() if half else tensor).contiguous()


def example(codec, samples):
    latent = codec.latents(samples)
    out = {"samples": samples, "features": latent, "codes.greedy": greedy(codec.books, latent)}
    for stages in (18, 33):
        out[f"codes.best.{stages}"] = best(codec.books, latent, stages)
    for name in ("greedy", "best.18", "best.33"):
        out["decoded." + ("greedy.46" if name == "greedy" else name)] = codec.decode(out["codes." + name])
    return {k: (v.int() if k.startswith("codes") else v).contiguous() for k, v in out.items()}


def packets(codec, context, samples):
    """Codes of real speech, as packets, and what they become."""
    latent, out = codec.latents(samples), []
    for index, (redundant, frames, stages) in enumerate(PACKETS):
        at = 30 + 5 * index
        codes = best(codec.books, latent, stages).numpy()
        before, here = codes[at - redundant:at, :REDUNDANT], codes[at:at + frames]
        written, frequencies = pack(context, before, here)
        again = unpack(context, written, redundant, REDUNDANT, frames, stages)
        if not all(np.array_equal(a, b) for a, b in zip(again, (before, here))):
            raise SystemExit("a packet does not decode to its codes")
        out.append({
            "redundant": redundant, "redundant_stages": REDUNDANT, "frames": frames, "stages": stages,
            "codes": [c.tolist() for c in [*before, *here]], "bytes": written.hex(),
            "frequencies": [row.tolist() for rows in frequencies for row in rows]})
    return out


def card(weights, tensors, note):
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    network = [v.numel() for k, v in tensors.items() if k.split(".")[0] in ("encoder", "decoder", "books")]
    return {
        "name": "AIC-A", "version": 2, "id": digest[:8], "file": weights.name, "sha256": digest,
        "bytes": weights.stat().st_size, "licence": "Apache-2.0",
        "origin": "network and weights of Lyra v2 (google/lyra), Copyright Google LLC, Apache-2.0, converted to float; "
                  "search and context net by the AuraLink project",
        "shape": {"latent": LATENT, "stages": STAGES, "entries": ENTRIES, "channels": list(CHANNELS), "beams": BEAMS},
        "sample_rate": RATE, "frame_samples": FRAME, "algorithmic_latency_ms": 1000 * FRAME / RATE,
        "parameters": sum(network), "context_parameters": sum(v.numel() for k, v in tensors.items() if k.startswith("context.")),
        "mmac_per_second": {"encoder": 100, "decoder": 100, "context per stage": 0.6},
        "training": {"data": ["librispeech-251-speakers"], "note": note},
    }


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("weights", help="after context.py")
    p.add_argument("--out", default=".")
    p.add_argument("--name", default="aic-a2")
    p.add_argument("--speech", required=True, help="a file whose first second becomes the example")
    p.add_argument("--note", default="", help="what the context net was fitted on, in words")
    args = p.parse_args()
    torch.set_num_threads(1)
    out = pathlib.Path(args.out)
    weights = out / f"{args.name}.safetensors"
    tensors = {k: store(k, v) for k, v in load_file(args.weights).items()}
    save_file(tensors, weights, metadata={"format": "aic-a", "version": "2"})
    weights.chmod(0o644)
    made = card(weights, tensors, args.note)
    (out / f"{args.name}.json").write_text(json.dumps(made, indent=2) + "\n")
    codec, samples = load(weights), torch.from_numpy(data.read(args.speech))
    save_file(example(codec, samples[:50 * FRAME]), out / f"{args.name}-example.safetensors")
    (out / f"{args.name}-example.safetensors").chmod(0o644)
    lines = ",\n".join(json.dumps(x, separators=(",", ":")) for x in packets(codec, Context(str(weights)), samples[:100 * FRAME]))
    (out / f"{args.name}-packets.json").write_text(f"[\n{lines}\n]\n")
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main()
