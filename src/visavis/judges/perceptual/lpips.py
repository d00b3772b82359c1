"""LPIPS (Zhang et al. 2018): the perceptual loss of AVFR-GAN, with published weights of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from visavis.judges.perceptual.base import Convolutions, PerceptualDistance, fill
from visavis.weights.convert import read_tensors

# Convolutions of VGG-16 by torchvision's numbers, in the five slices that LPIPS compares.
_SLICES = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
    ((24, 512, 512), (26, 512, 512), (28, 512, 512)),
)
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)

#: The keys that tell a table of LPIPS weights from others.
LINEAR_KEYS = tuple(f"lin{level}.model.1.weight" for level in range(len(_SLICES)))


class Lpips(PerceptualDistance):
    """Distance of unit-length VGG-16 features, each channel weighted as people judge it."""

    name = "lpips-vgg16"
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.vgg = Convolutions(_SLICES)
        self.linear = nn.ParameterList([torch.zeros(1, part[-1][2], 1, 1) for part in _SLICES])
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    @classmethod
    def from_file(cls, path: Path, linear: Path | None = None) -> Lpips:
        """Load the published weights: one table, or VGG-16 of torchvision and the ``linear`` layers in a second one.

        Raises:
            WeightsError: no such file, not a table of tensors, or not of LPIPS.
        """
        table = read_tensors(path)
        return cls.from_table({**table, **read_tensors(linear)} if linear else table, path)

    @classmethod
    def from_table(cls, table: Mapping[str, Tensor], path: Path) -> Lpips:
        """Take the weights from a table that was read from ``path``."""
        network = cls()
        names = {f"vgg.{ours}": theirs for ours, theirs in network.vgg.keys().items()}
        names |= {f"linear.{level}": key for level, key in enumerate(LINEAR_KEYS)}
        fill(network, names, table, path, "LPIPS")
        return network

    def features(self, picture: Tensor) -> list[Tensor]:
        outputs = self.vgg((2 * picture - 1 - self.shift) / self.scale)
        return [unit(part[-1]) for part in outputs]

    def compare(self, made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        parts = [((a - b) ** 2 * w).sum(1).mean((1, 2)) for a, b, w in zip(made, wanted, self.linear, strict=True)]
        return torch.stack(parts).sum(0)


def unit(x: Tensor) -> Tensor:
    """Features ``[B, C, h, w]`` of unit length along the channels; the gradient is finite where they vanish."""
    return x / ((x**2).sum(1, keepdim=True) + 1e-10).sqrt()
