"""Spatially adaptive normalisation (Park et al. 2019) and the residual block that AVFR-GAN builds on it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Spade(nn.Module):
    """Parameter-free batch norm, modulated at each place by a gamma and beta convolved from a condition map.

    Args:
        channels: channels of the normalised features.
        condition_channels: channels of the condition.
        hidden: width of the convolution between condition and (gamma, beta).
        kernel: kernel of both convolutions; 1 where the condition is already a feature map.
    """

    #: What is added to the convolved gamma.
    one = 1.0

    def __init__(self, channels: int, condition_channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(condition_channels, hidden, kernel, padding="same")
        self.gamma_beta = nn.Conv2d(hidden, 2 * channels, kernel, padding="same")

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return ``x [B, C, h, w]`` normalised and modulated; ``condition`` has the same h and w."""
        gamma, beta = self.gamma_beta(F.relu(self.shared(condition))).chunk(2, 1)
        return self.norm(x) * (1 + gamma) + beta


class SpadeResBlock(nn.Module):
    """Residual block of two convolutions, each after SPADE and LeakyReLU; a 1x1 short cut where widths differ.

    The condition map may have another resolution than the features; it is resized to theirs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        condition_channels: int,
        *,
        hidden: int | None = None,
        modulation_kernel: int = 3,
    ) -> None:
        super().__init__()
        hidden = hidden or min(128, max(condition_channels, 16))
        self.spade1 = Spade(in_channels, condition_channels, hidden, modulation_kernel)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.spade2 = Spade(out_channels, condition_channels, hidden, modulation_kernel)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.short_cut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        if condition.shape[2:] != x.shape[2:]:
            condition = _resized(condition, x)
        y = self.conv1(F.leaky_relu(self.spade1(x, condition), 0.2))
        y = self.conv2(F.leaky_relu(self.spade2(y, condition), 0.2))
        return self.short_cut(x) + y  # type: ignore[no-any-return]


def _resized(condition: Tensor, like: Tensor) -> Tensor:
    mode = "area" if condition.shape[2] > like.shape[2] else "bilinear"
    corners = None if mode == "area" else False
    return F.interpolate(condition, size=like.shape[2:], mode=mode, align_corners=corners)
