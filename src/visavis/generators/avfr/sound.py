"""The two encoders of the driving sound (AVFR-GAN section 3, thesis 2.2.2 and 2.2.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_SEED = 4  # side of the map that the sound's vector is laid out on


def _mel_trunk(outside: int) -> nn.Sequential:
    """2D convolutions over ``[B, 1, 80, 20]``, down to a vector ``[B, outside]``."""
    widths = (1, 16, 32, 64, outside)
    strides = ((2, 1), (2, 2), (2, 2), (2, 2))
    layers: list[nn.Module] = []
    for inside, out, stride in zip(widths[:-1], widths[1:], strides, strict=True):
        layers += [nn.Conv2d(inside, out, 3, stride=stride, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class SoundEncoder(nn.Module):
    """Mel window to Enc_aud, ``[B, c, side, side]``: convolutions down to a vector, then up-sampling blocks."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side
        self.down = _mel_trunk(channels)
        self.lay_out = nn.Linear(channels, channels * _SEED**2)
        # Sound says little about places: two doublings of learned up-sampling, then it is stretched to size.
        self.up = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)])

    def forward(self, mel: Tensor) -> Tensor:
        x = self.lay_out(self.down(mel)).view(-1, self.channels, _SEED, _SEED)
        for block in self.up:
            x = F.relu(block(F.interpolate(x, scale_factor=2, mode="nearest")))
        return F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)


class QueryEncoder(nn.Module):
    """Mel window to Enc_query, ``[B, c]`` (equation 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = _mel_trunk(channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, mel: Tensor) -> Tensor:
        return self.out(self.down(mel))  # type: ignore[no-any-return]
