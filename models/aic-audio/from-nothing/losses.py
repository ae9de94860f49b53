"""What training compares in the sound: log-mel at several scales, and compressed magnitudes."""

import torch
import torch.nn.functional as F

from model import RATE

# Window, mel bands. Short windows see onsets, long ones see harmonics.
MEL_SCALES = ((256, 32), (512, 64), (1024, 80), (2048, 120))
SPECTRUM_SCALES = (256, 512, 1024)


def mel_filters(n_fft, bands):
    """[bins, bands], triangular, HTK scale, from 0 Hz to half the rate."""
    def to_mel(hz):
        return 2595 * torch.log10(1 + hz / 700)
    edges = 700 * (10 ** (torch.linspace(0, float(to_mel(torch.tensor(RATE / 2))), bands + 2) / 2595) - 1)
    hz = torch.linspace(0, RATE / 2, n_fft // 2 + 1).unsqueeze(1)
    # A band narrower than a bin is widened, or it would see nothing.
    width = RATE / n_fft
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    low, high = torch.minimum(low, centre - width), torch.maximum(high, centre + width)
    return torch.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clamp(min=0)


class Losses(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for n_fft, bands in MEL_SCALES:
            self.register_buffer(f"mel{n_fft}", mel_filters(n_fft, bands), persistent=False)
            self.register_buffer(f"window{n_fft}", torch.hann_window(n_fft), persistent=False)

    def power(self, x, n_fft):
        x = torch.stft(x, n_fft, n_fft // 4, window=getattr(self, f"window{n_fft}"),
                       center=False, return_complex=True)
        return torch.view_as_real(x).square().sum(-1) + 1e-9

    def forward(self, made, wanted):
        """Both [batch, samples] -> (mel, magnitude), each a mean over the batch."""
        mel = magnitude = 0.0
        for n_fft, _ in MEL_SCALES:
            a, b = self.power(made, n_fft), self.power(wanted, n_fft)
            bank = getattr(self, f"mel{n_fft}")
            la, lb = ((x.sqrt().transpose(1, 2) @ bank).clamp(min=1e-3).log() for x in (a, b))
            mel = mel + F.l1_loss(la, lb) / len(MEL_SCALES)
            if n_fft in SPECTRUM_SCALES:
                # Power 0.3 weighs quiet harmonics about as hearing does. The level of the window
                # is divided out so that the scales weigh the same.
                level = (n_fft / 4) ** -0.3
                magnitude = magnitude + F.l1_loss(a.pow(0.15), b.pow(0.15)) * level / len(SPECTRUM_SCALES)
        return mel, magnitude
