"""Patch-wise super-resolution: twice the side, patch by patch, without seams (thesis, section 3.3.5).

No convolution pads. A patch is cut with as many pixels around it as the network looks at, so that each of its pixels
comes out as it would from the whole picture: there is nothing at a seam to hide, and nothing to feather. Memory is that
of a patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.core.config import check_ranges
from visavis.core.errors import ConfigError
from visavis.enhance import FACTOR
from visavis.nn.cost import gmac
from visavis.weights.network import load_network
from visavis.weights.store import resolve

FAMILY = "enlarge"
PACKAGED_NAME = "enlarge-2x"
_SIDE = 256
_BICUBIC_REACH = 2
_UNIT = 0.1  # what is added is small: in larger units the first steps of learning would be leaps


@dataclass(frozen=True)
class EnlargeConfig:
    """Shape of the network.

    Attributes:
        width: channels.
        layers: convolutions of 3x3 between the first and the last one.
    """

    width: int = 24
    layers: int = 4

    def __post_init__(self) -> None:
        check_ranges(self, {"width": (1, 512), "layers": (0, 32)})

    @property
    def reach(self) -> int:
        """Pixels around a patch that its pixels depend on."""
        return max(self.layers + 2, _BICUBIC_REACH)

    @classmethod
    def tiny(cls) -> EnlargeConfig:
        """For tests."""
        return cls(width=4, layers=1)


class Enlarger(nn.Module):
    """Bicubic interpolation and what a small network knows better, at twice the side.

    Convention:
        Pictures ``[B, 3, H, W]`` in [0, 1]. The last convolution is followed by a sub-pixel shuffle.
    """

    def __init__(self, config: EnlargeConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv2d(3, config.width, 3)
        self.middle = nn.ModuleList([nn.Conv2d(config.width, config.width, 3) for _ in range(config.layers)])
        self.last = nn.Conv2d(config.width, 3 * FACTOR**2, 3)
        nn.init.zeros_(self.last.weight)  # it begins as bicubic interpolation
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def gmac(self) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates of a picture of 256x256."""
        side = _SIDE + 2 * self.config.reach
        return {"per_picture": {"network": gmac(lambda: self(torch.rand(1, 3, side, side)))}}

    def forward(self, framed: Tensor) -> Tensor:
        """Enlarge pictures ``[B, 3, H + 2 reach, W + 2 reach]`` with their surroundings to ``[B, 3, 2 H, 2 W]``."""
        plain = F.interpolate(framed, scale_factor=float(FACTOR), mode="bicubic", align_corners=False)
        return F.pad(plain, [-FACTOR * self.config.reach] * 4) + self.know(framed)

    def know(self, framed: Tensor) -> Tensor:
        """What is added to bicubic interpolation, ``[B, 3, 2 H, 2 W]``, of what :meth:`forward` takes.

        It is small, so that reduced precision hardly changes the picture.
        """
        x = F.relu(self.first(framed - 0.5))
        for conv in self.middle:
            inside = x[..., 1:-1, 1:-1]
            x = inside + F.relu(conv(x))
        known = _UNIT * F.pixel_shuffle(self.last(x), FACTOR)
        extra = FACTOR * (self.config.reach - self.config.layers - 2)
        return F.pad(known, [-extra] * 4)


def framed(picture: Tensor, reach: int) -> Tensor:
    """Repeat the border of ``[B, C, H, W]`` outwards by ``reach`` pixels."""
    return F.pad(picture, [reach] * 4, mode="replicate")


@torch.inference_mode()
def enlarge(network: Enlarger, picture: Tensor, patch: int | None = None) -> Tensor:
    """Double pictures ``[B, 3, H, W]`` in [0, 1].

    Args:
        network: in evaluation mode.
        picture: what to double.
        patch: side of the patches; None for the whole at once. The result is the same but for rounding.
    """
    around = framed(picture, network.config.reach)
    height, width = picture.shape[2:]
    whole = picture.new_empty(*picture.shape[:2], FACTOR * height, FACTOR * width)
    for top, left, tall, wide in patches(height, width, patch or max(height, width)):
        reach = 2 * network.config.reach
        made = network(around[..., top : top + tall + reach, left : left + wide + reach])
        rows = slice(FACTOR * top, FACTOR * (top + tall))
        whole[..., rows, FACTOR * left : FACTOR * (left + wide)] = made
    return whole.clamp(0, 1)


def patches(height: int, width: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield ``(top, left, height, width)`` of patches that tile a picture; the last of a row may be smaller."""
    if side < 1:
        raise ConfigError(f"a patch's side must be at least 1, not {side}")
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield top, left, min(side, height - top), min(side, width - left)


def load_enlarger(path: Path | None = None) -> Enlarger:
    """Load the network of a file, or the packaged one, in evaluation mode and on the CPU.

    Raises:
        WeightsError: no such file, damaged, or of another family or shape.
    """
    return load_network(path or resolve(PACKAGED_NAME), FAMILY, EnlargeConfig, Enlarger)
