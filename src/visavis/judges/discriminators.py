"""Patch discriminator of AVFR-GAN (section 3, 'Discriminator'), and one more for the mouth."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Stack of strided convolutions, each with spectral or instance norm and LeakyReLU; a logit a patch.

    Args:
        width: channels of the first block, doubled at each of ``blocks`` levels up to ``most``.
        norm: ``spectral`` or ``instance``.
    """

    def __init__(
        self, width: int = 32, blocks: int = 4, most: int = 256, norm: Literal["spectral", "instance"] = "spectral"
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for level in range(blocks):
            outside = min(width * 2**level, most)
            conv = nn.Conv2d(inside, outside, 4, stride=2, padding=1)
            if norm == "spectral":
                layers.append(spectral_norm(conv))
            else:
                layers.append(nn.Sequential(conv, nn.InstanceNorm2d(outside, affine=True)))
            inside = outside
        self.layers = nn.ModuleList(layers)
        self.out = nn.Conv2d(inside, 1, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Return logits ``[B, 1, h, w]`` for pictures ``[B, 3, S, S]`` in [0, 1]; positive means real."""
        return self.judge(picture)[0]

    def judge(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits as :meth:`forward` does, and the feature map of each block, for feature matching."""
        x = picture * 2 - 1
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.out(x), features


class PictureAndMouth(nn.Module):
    """Two patch discriminators: one sees the picture, one the crop of the mouth."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = PatchDiscriminator()
        self.mouth = PatchDiscriminator(blocks=3)  # a crop is small: patches of a few teeth

    def forward(self, picture: Tensor, mouth: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both."""
        return self.picture(picture), self.mouth(mouth)
