"""Convolution blocks of the first order model (Siarohin et al. 2019), shared by the keypoint families.

Names of parameters are those of the published checkpoints, so that converting is renaming of prefixes at most.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameBlock(nn.Module):
    """Convolution, batch norm, ReLU; keeps the resolution."""

    def __init__(self, inside: int, outside: int, kernel_size: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel_size, padding=padding)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DownBlock(nn.Module):
    """Convolution, batch norm, ReLU, then 2x2 average pooling: half the resolution."""

    def __init__(self, inside: int, outside: int, kernel_size: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel_size, padding=padding)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.relu(self.norm(self.conv(x))), 2)


class UpBlock(nn.Module):
    """Nearest x2, then convolution, batch norm, ReLU: twice the resolution."""

    def __init__(self, inside: int, outside: int, kernel_size: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel_size, padding=padding)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))))


class ResBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions; keeps shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class _Encoder(nn.Module):
    def __init__(self, width: int, inside: int, blocks: int, most: int) -> None:
        super().__init__()
        widths = [inside, *(min(most, width * 2 ** (i + 1)) for i in range(blocks))]
        self.down_blocks = nn.ModuleList([DownBlock(a, b) for a, b in pairwise(widths)])

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = [x]
        for block in self.down_blocks:
            outputs.append(block(outputs[-1]))
        return outputs


class _Decoder(nn.Module):
    def __init__(self, width: int, inside: int, blocks: int, most: int) -> None:
        super().__init__()
        ups = []
        for i in reversed(range(blocks)):
            doubled = 1 if i == blocks - 1 else 2  # from the second on, the encoder's features are joined
            ups.append(UpBlock(doubled * min(most, width * 2 ** (i + 1)), min(most, width * 2**i)))
        self.up_blocks = nn.ModuleList(ups)
        self.out_filters = width + inside

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features.pop()
        for block in self.up_blocks:
            x = torch.cat([block(x), features.pop()], 1)
        return x


class Hourglass(nn.Module):
    """U-Net of down and up blocks; gives ``out_filters`` channels at the input's resolution.

    Args:
        block_expansion: width of the first block, doubled at every level.
        in_features: channels of the input.
        num_blocks: levels.
        max_features: cap of the width.
    """

    def __init__(self, block_expansion: int, in_features: int, num_blocks: int, max_features: int) -> None:
        super().__init__()
        self.encoder = _Encoder(block_expansion, in_features, num_blocks, max_features)
        self.decoder = _Decoder(block_expansion, in_features, num_blocks, max_features)
        self.out_filters = self.decoder.out_filters

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class AntiAliasDownsample(nn.Module):
    """Gaussian blur, then every n-th pixel, as one strided depthwise convolution.

    The kernel is a buffer named ``weight``, as in the published checkpoints. Always computed in float32.

    Args:
        channels: channels of the input.
        scale: 1/n for a whole n.
    """

    weight: Tensor

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.stride = round(1 / scale)
        sigma = (1 / scale - 1) / 2
        size = 2 * round(sigma * 4) + 1
        offsets = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        line = torch.exp(-(offsets**2) / (2 * sigma**2)) if sigma > 0 else torch.ones(1)
        kernel = torch.outer(line, line)
        self.register_buffer("weight", (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x
        with torch.autocast(x.device.type, enabled=False):
            channels, padding = self.weight.shape[0], self.weight.shape[-1] // 2
            return F.conv2d(x.float(), self.weight, stride=self.stride, padding=padding, groups=channels)
