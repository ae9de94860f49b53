"""DNSMOS P.835 of raw recordings: python benches/denoise.py MODEL FILE...

Each FILE is mono float32 at 48 kHz. Prints one line per file: SIG BAK OVRL, after the polynomial
fit of the reference implementation (microsoft/DNS-Challenge, dnsmos_local.py, not personalised).
Recordings shorter than the model's 9.01 s are repeated, as there.
"""

import sys

import numpy as np
import onnxruntime
from scipy.signal import resample_poly

SAMPLES = int(9.01 * 16_000)
FIT = [
    np.poly1d([-0.08397278, 1.22083953, 0.0052439]),
    np.poly1d([-0.13166888, 1.60915514, -0.39604546]),
    np.poly1d([-0.06766283, 1.11546468, 0.04602535]),
]


def main(model, files):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for file in files:
        sound = resample_poly(np.fromfile(file, dtype="<f4"), 1, 3).astype(np.float32)
        sound = np.tile(sound, -(-SAMPLES // len(sound)))[:SAMPLES]
        raw = session.run(None, {name: sound[np.newaxis]})[0][0]
        print(*(f"{fit(value):.4f}" for fit, value in zip(FIT, raw)), flush=True)


main(sys.argv[1], sys.argv[2:])
