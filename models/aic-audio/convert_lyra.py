"""Lyra v2's TFLite files -> `aic-a2.safetensors`: the same network and weights in float.

    python convert_lyra.py ../../../shared/data/baselines/lyra-v2 --out aic-a2.safetensors

Network and weights: google/lyra, Copyright Google LLC, Apache-2.0. The files keep wide layers as
float32 and the others as int8 with a scale per output channel; both become float32 here. Their
int8 activations are not taken over. Kernels lie in the file in the order of `Encoder.layers`.
"""

import argparse
import pathlib

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from model import ENTRIES, LATENT, STAGES, Codec, Transposed, Unit, save

TYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
WEIGHED = {  # operator: (input with the kernel, input with the bias)
    schema.BuiltinOperator.CONV_2D: (1, 2), schema.BuiltinOperator.DEPTHWISE_CONV_2D: (1, 2),
    schema.BuiltinOperator.TRANSPOSE_CONV: (1, 3)}


class File:
    """A TFLite file, of which only constants and the order of operators matter."""

    def __init__(self, path):
        self.model = schema.ModelT.InitFromPackedBuf(pathlib.Path(path).read_bytes())

    def constant(self, graph, index):
        """A tensor as float32, dequantised; None where it is no constant."""
        tensor = graph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or tensor.type not in TYPES:
            return None
        values = np.asarray(data, dtype=np.uint8).view(TYPES[tensor.type]).reshape(tensor.shape)
        scales = tensor.quantization.scale if tensor.quantization else None
        if scales is None or len(scales) == 0:
            return values.astype(np.float32)
        if np.any(tensor.quantization.zeroPoint):
            raise SystemExit(f"{tensor.name}: weights with a zero point are not Lyra v2's")
        shape = np.ones(values.ndim, dtype=int)
        shape[tensor.quantization.quantizedDimension if len(scales) > 1 else 0] = len(scales)
        return values.astype(np.float32) * np.asarray(scales, dtype=np.float32).reshape(shape)

    def operators(self, graph):
        for operator in graph.operators:
            code = self.model.operatorCodes[operator.opcodeIndex]
            yield max(code.builtinCode, code.deprecatedBuiltinCode), operator

    def kernels(self):
        """(operator, kernel [O, K, 1, I] or depthwise [1, K, 1, C], bias) in order."""
        graph = self.model.subgraphs[0]
        for kind, operator in self.operators(graph):
            if kind in WEIGHED:
                kernel, bias = WEIGHED[kind]
                yield kind, self.constant(graph, operator.inputs[kernel]), self.constant(graph, operator.inputs[bias])


def fill(layer, kernels):
    """Takes the kernels of one layer; a transposed one lies in the file group by group."""
    if isinstance(layer, Unit):
        for part in (layer.depthwise, layer.pointwise1, layer.pointwise2):
            fill(part, kernels)
        return
    parts = [next(kernels) for _ in range(layer.options["groups"] if isinstance(layer, Transposed) else 1)]
    kind = parts[0][0]
    if kind == schema.BuiltinOperator.TRANSPOSE_CONV:
        weight = np.concatenate([kernel.transpose(3, 0, 1, 2).squeeze(3) for _, kernel, _ in parts])
    elif kind == schema.BuiltinOperator.DEPTHWISE_CONV_2D:
        weight = parts[0][1].transpose(3, 2, 1, 0).squeeze(3)
    else:
        weight = parts[0][1].transpose(0, 3, 1, 2).squeeze(3)
    bias = np.concatenate([bias for _, _, bias in parts])
    if weight.shape != tuple(layer.weight.shape) or bias.shape != tuple(layer.bias.shape):
        raise SystemExit(f"a kernel of {weight.shape} where {tuple(layer.weight.shape)} belongs: these are not Lyra v2's files")
    layer.weight.data.copy_(torch.from_numpy(weight.copy()))
    layer.bias.data.copy_(torch.from_numpy(bias.copy()))


def books(path):
    """[STAGES, ENTRIES, LATENT]. From the search of the signature `encode`: its last stage gathers
    nothing, but compares like the others."""
    file = File(path)
    for graph in file.model.subgraphs:
        found = [table for kind, operator in file.operators(graph)
                 if kind == schema.BuiltinOperator.SQUARED_DIFFERENCE
                 for table in (file.constant(graph, i) for i in operator.inputs) if table is not None]
        if len(found) == STAGES:
            return torch.from_numpy(np.stack([t.reshape(ENTRIES, LATENT) for t in found]))
    raise SystemExit(f"{path}: no graph with {STAGES} codebooks")


def convert(folder):
    codec = Codec()
    for part, name in ((codec.encoder, "soundstream_encoder"), (codec.decoder, "lyragan")):
        kernels = File(f"{folder}/{name}.tflite").kernels()
        for _, layer in part.layers():
            fill(layer, kernels)
        if next(kernels, None) is not None:
            raise SystemExit(f"{name}.tflite has more kernels than the network: it is not Lyra v2's")
    codec.books.copy_(books(f"{folder}/quantizer.tflite"))
    return codec.eval()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("folder", help="with soundstream_encoder.tflite, lyragan.tflite and quantizer.tflite")
    p.add_argument("--out", default="lyra.safetensors")
    args = p.parse_args()
    save(convert(args.folder), args.out)


if __name__ == "__main__":
    main()
