"""The codecs that AIC-A is compared with: Opus by the system's libopus, Lyra v2 by its TFLite files.

Each takes float32 samples at RATE and gives as many, in time with them.
"""

import ctypes

import numpy as np
import scipy.signal

from model import FRAME, RATE

APPLICATION_VOIP = 2048
SET_BITRATE, SET_COMPLEXITY, SET_INBAND_FEC, SET_LOSS = 4002, 4010, 4012, 4014
LYRA_STAGES = {3.2: 16, 6.0: 30, 9.2: 46}  # kbit/s: stages of 4 bits


def align(made, wanted, most=1200):
    """Cuts the delay that correlates best; a codec's latency is no fault of its sound. AIC-A needs
    none of it: it has no delay."""
    size = min(len(made), len(wanted))
    correlation = scipy.signal.correlate(made[:size], wanted[:size], "full", "fft")
    middle = size - 1
    lag = int(np.argmax(np.abs(correlation[middle - 200:middle + most]))) - 200
    made = made[lag:] if lag >= 0 else np.pad(made, (-lag, 0))
    return np.pad(made, (0, max(0, len(wanted) - len(made))))[:len(wanted)].astype(np.float32)


class Opus:
    """Opus as WebRTC sends voice: VOIP, variable bitrate, 20 ms packets. `rate` is what it is given:
    16000 for wideband, 48000 for fullband (then the same speech, resampled)."""

    def __init__(self, kbps, rate=RATE):
        self.lib = ctypes.CDLL("libopus.so.0")
        self.lib.opus_encoder_create.restype = self.lib.opus_decoder_create.restype = ctypes.c_void_p
        self.kbps, self.rate = kbps, rate

    def encoder(self, loss):
        error = ctypes.c_int()
        encoder = ctypes.c_void_p(self.lib.opus_encoder_create(self.rate, 1, APPLICATION_VOIP, ctypes.byref(error)))
        settings = [(SET_BITRATE, int(self.kbps * 1000)), (SET_COMPLEXITY, 9)]
        if loss:
            settings += [(SET_INBAND_FEC, 1), (SET_LOSS, round(100 * loss))]
        for setting, value in settings:
            error.value = error.value or self.lib.opus_encoder_ctl(encoder, setting, ctypes.c_int(value))
        if error.value:
            raise RuntimeError(f"libopus refuses: {error.value}")
        return encoder

    def packets(self, samples, loss):
        size, room = self.rate // 50, ctypes.create_string_buffer(1500)
        encoder = self.encoder(loss)
        pcm = np.ascontiguousarray(np.pad(samples, (0, -len(samples) % size + size)), dtype=np.float32)
        for frame in pcm.reshape(-1, size):
            pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            length = self.lib.opus_encode_float(encoder, pointer, size, room, len(room))
            if length < 0:
                raise RuntimeError(f"libopus cannot encode: {length}")
            yield room.raw[:length]
        self.lib.opus_encoder_destroy(encoder)

    def __call__(self, samples, loss=0.0, lost=None):
        """(samples, payload kbit/s). A lost packet comes from the redundancy (in-band FEC) of the
        next one if that arrives, else libopus conceals it."""
        up = self.rate // RATE
        packets = list(self.packets(scipy.signal.resample_poly(samples, up, 1) if up > 1 else samples, loss))
        lost = np.zeros(len(packets), dtype=bool) if lost is None else lost
        error, size = ctypes.c_int(), self.rate // 50
        decoder = ctypes.c_void_p(self.lib.opus_decoder_create(self.rate, 1, ctypes.byref(error)))
        out = np.zeros((len(packets), size), dtype=np.float32)
        for i, frame in enumerate(out):
            pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            if not lost[i]:
                packet, repair = packets[i], 0
            elif i + 1 < len(packets) and not lost[i + 1]:
                packet, repair = packets[i + 1], 1
            else:
                packet, repair = None, 0
            self.lib.opus_decode_float(decoder, packet, len(packet or b""), pointer, size, repair)
        self.lib.opus_decoder_destroy(decoder)
        made = scipy.signal.resample_poly(out.ravel(), 1, up) if up > 1 else out.ravel()
        return align(made, samples), float(np.mean([len(p) for p in packets])) * 8 / 20


class Lyra:
    """Lyra v2. Its concealment is in its C++ part, so there is no Lyra here under loss."""

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

    def __call__(self, samples, stages):
        encoder, decoder, out = self.load("soundstream_encoder"), self.load("lyragan"), []
        whole = np.pad(samples, (0, -len(samples) % FRAME + 4 * FRAME))
        for frame in whole.reshape(-1, FRAME):
            features = self.run(encoder, frame.reshape(1, FRAME).astype(np.float32))
            codes = self.encode(input_frames=features.reshape(1, 1, 64), num_quantizers=np.int32(stages))["output_0"]
            features = self.decode(encoding_indices=codes)["output_0"]
            out.append(self.run(decoder, features.reshape(1, 1, 64)).ravel())
        return align(np.concatenate(out), samples)
