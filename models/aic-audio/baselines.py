"""Lyra v2, the codec that AIC-A is compared with, by its TFLite files."""

import numpy as np
import scipy.signal

from speech import FRAME

LYRA_STAGES = {3.2: 16, 6.0: 30, 9.2: 46}  # kbit/s: stages of 4 bits
CONCEALED = 4  # lost frames that the library makes of the decoder alone, 80 ms (lyra_decoder.cc)
FADED = 2  # lost frames over which that fades away, 40 ms


def align(made, wanted, most=1200):
    """Cuts the delay that correlates best; a codec's latency is no fault of its sound. AIC-A needs
    none of it: it has no delay."""
    size = min(len(made), len(wanted))
    correlation = scipy.signal.correlate(made[:size], wanted[:size], "full", "fft")
    middle = size - 1
    lag = int(np.argmax(np.abs(correlation[middle - 200:middle + most]))) - 200
    made = made[lag:] if lag >= 0 else np.pad(made, (-lag, 0))
    return np.pad(made, (0, max(0, len(wanted) - len(made))))[:len(wanted)].astype(np.float32)


class Lyra:
    """Takes and gives float32 samples at RATE, as many, in time with each other."""

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

    def codes(self, samples, stages):
        """Per frame the codes as the quantiser gives them, some frames behind the end."""
        encoder = self.load("soundstream_encoder")
        whole = np.pad(samples, (0, -len(samples) % FRAME + 4 * FRAME)).reshape(-1, 1, FRAME).astype(np.float32)
        return [self.encode(input_frames=self.run(encoder, frame).reshape(1, 1, 64), num_quantizers=np.int32(stages))["output_0"]
                for frame in whole]

    def sound(self, codes, lost, wanted):
        """`lost`: a flag per frame. The library knows nothing of a lost frame: its features are zeros,
        and after 80 ms it fades to comfort noise, of which there is none here."""
        decoder, out, gap, gain = self.load("lyragan"), [], 0, 1.0
        for i, code in enumerate(codes):
            gap = gap + 1 if i < len(lost) and lost[i] else 0
            features = np.zeros((1, 1, 64), np.float32) if gap else self.decode(encoding_indices=code)["output_0"]
            step = (-1 if gap > CONCEALED else 1) / FADED
            until = min(1.0, max(0.0, gain + step))
            out.append(self.run(decoder, features.reshape(1, 1, 64)).ravel() * np.linspace(gain, until, FRAME, endpoint=False))
            gain = until
        return align(np.concatenate(out), wanted)

    def __call__(self, samples, stages):
        return self.sound(self.codes(samples, stages), (), samples)
