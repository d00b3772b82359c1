"""Patch discriminators: of AVFR-GAN (section 3, 'Discriminator') and of SPADE, for pictures and for mouths."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Stack of strided convolutions, each with spectral or instance norm and LeakyReLU; a logit a patch.

    Args:
        width: channels of the first block, doubled at each of ``blocks`` levels up to ``most``.
        norm: ``spectral`` or ``instance``.
        condition: channels that are seen beside the picture.
    """

    #: How many tensors of logits there are.
    scales = 1

    def __init__(
        self,
        width: int = 32,
        blocks: int = 4,
        most: int = 256,
        norm: Literal["spectral", "instance"] = "spectral",
        condition: int = 0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3 + condition
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
        """Return logits ``[B, 1, h, w]`` for pictures ``[B, 3 + n, S, S]`` in [0, 1]; positive means real."""
        return self.judge(picture)[0]

    def judge(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits as :meth:`forward` does, and the feature map of each block, for feature matching."""
        x = picture * 2 - 1 if picture.shape[1] == 3 else torch.cat([picture[:, :3] * 2 - 1, picture[:, 3:]], 1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.out(x), features


class SpadeDiscriminator(nn.Module):
    """The discriminator of SPADE (Park et al. 2019, figure 15): patches at two scales, spectral and instance norm.

    Args:
        width: channels of the first convolution, doubled at each of the others up to eight times as many.
        blocks: convolutions before the one that gives logits; all but the last have stride 2.
        scales: how often the picture is seen, each time at half of the size before.
        condition: channels that are seen beside the picture.
    """

    def __init__(self, width: int = 64, blocks: int = 4, scales: int = 2, condition: int = 0) -> None:
        super().__init__()
        self.scales = scales
        self.levels = nn.ModuleList([_levels(width, blocks, 3 + condition) for _ in range(scales)])

    def judge(self, picture: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Return the logits ``[B, 1, h, w]`` of each scale, and all feature maps.

        Args:
            picture: ``[B, 3 + n, S, S]``: in [0, 1], then the condition.
        """
        x = torch.cat([picture[:, :3] * 2 - 1, picture[:, 3:]], 1)
        logits, features = [], []
        for number, level in enumerate(self.levels):
            seen = x
            for layer in level[:-1]:  # type: ignore[index]
                seen = F.leaky_relu(layer(seen), 0.2)
                features.append(seen)
            logits.append(level[-1](seen))  # type: ignore[index]
            if number + 1 < self.scales:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return tuple(logits), features


def _levels(width: int, blocks: int, inside: int) -> nn.ModuleList:
    layers: list[nn.Module] = []
    for number in range(blocks):
        outside, stride = min(width * 2**number, 8 * width), 1 if number == blocks - 1 else 2
        conv = nn.Conv2d(inside, outside, 4, stride=stride, padding=2)
        layers.append(conv if number == 0 else nn.Sequential(spectral_norm(conv), nn.InstanceNorm2d(outside)))
        inside = outside
    return nn.ModuleList([*layers, nn.Conv2d(inside, 1, 4, padding=2)])


class PictureAndMouth(nn.Module):
    """Two patch discriminators: one sees the picture, one the crop of the mouth."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = PatchDiscriminator()
        self.mouth = PatchDiscriminator(blocks=3)  # a crop is small: patches of a few teeth

    def forward(self, picture: Tensor, mouth: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both."""
        return self.picture(picture), self.mouth(mouth)
