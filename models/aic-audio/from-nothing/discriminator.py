"""A small multi-scale spectrum discriminator (the EnCodec kind, a tenth of its width)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

SCALES = (1024, 512, 256)


class Scale(nn.Module):
    def __init__(self, n_fft, channels):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        norm = nn.utils.parametrizations.weight_norm
        shapes = [(2, channels, (1, 2)), (channels, channels, (1, 2)), (channels, 2 * channels, (1, 2)),
                  (2 * channels, 2 * channels, (2, 2))]
        self.layers = nn.ModuleList(
            norm(nn.Conv2d(a, b, (3, 7), stride=s, padding=(1, 3))) for a, b, s in shapes)
        self.out = norm(nn.Conv2d(2 * channels, 1, 3, padding=1))

    def forward(self, x):
        spectrum = torch.stft(x, self.n_fft, self.n_fft // 4, window=self.window, center=False,
                              return_complex=True)
        y = torch.view_as_real(spectrum)
        # Loud and quiet speech look alike: the power is compressed.
        y = y * (y.square().sum(-1, keepdim=True) + 1e-6).pow(-0.3)
        y = y.permute(0, 3, 2, 1)
        seen = []
        for layer in self.layers:
            y = F.leaky_relu(layer(y), 0.2)
            seen.append(y)
        return self.out(y), seen


class Discriminator(nn.Module):
    def __init__(self, channels=8):
        super().__init__()
        self.scales = nn.ModuleList(Scale(n, channels) for n in SCALES)

    def forward(self, x):
        return [scale(x) for scale in self.scales]

    def loss(self, made, wanted):
        """Hinge loss of telling what was made from what was recorded."""
        total = 0.0
        for (a, _), (b, _) in zip(self(made.detach()), self(wanted)):
            total = total + F.relu(1 + a).mean() + F.relu(1 - b).mean()
        return total / len(self.scales)

    def judge(self, made, wanted):
        """(adversarial, feature-matching) loss of the codec."""
        with torch.no_grad():
            truth = self(wanted)
        adversarial = matching = 0.0
        for (a, seen), (_, real) in zip(self(made), truth):
            adversarial = adversarial - a.mean() / len(self.scales)
            for x, y in zip(seen, real):
                matching = matching + F.l1_loss(x, y) / (y.abs().mean() + 1e-4) / len(seen) / len(self.scales)
        return adversarial, matching
