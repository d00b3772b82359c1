"""The perceptual loss of the first order model (Siarohin et al. 2019): VGG-19 features at four scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.judges.perceptual.base import Convolutions, PerceptualDistance, fill
from visavis.weights.convert import read_tensors

# Convolutions of VGG-19 by torchvision's numbers, up to the last that is compared: relu1_1 to relu5_1.
_SLICES = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256), (16, 256, 256)),
    ((19, 256, 512), (21, 512, 512), (23, 512, 512), (25, 512, 512)),
    ((28, 512, 512),),
)
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_SCALES = 4
_LEAST_SIDE = 16

#: A key that VGG-19 has and VGG-16 lacks.
TELLING_KEY = "features.23.weight"


class Vgg19Pyramid(PerceptualDistance):
    """Sum over scales and layers of the features' mean absolute difference.

    The published setting weighs every layer by 10; that factor belongs to the weight of the loss.
    """

    name = "vgg19"
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.vgg = Convolutions(_SLICES)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None], persistent=False)

    @classmethod
    def from_file(cls, path: Path) -> Vgg19Pyramid:
        """Load torchvision's weights of VGG-19; its classifier is not needed.

        Raises:
            WeightsError: no such file, not a table of tensors, or not of VGG-19.
        """
        return cls.from_table(read_tensors(path), path)

    @classmethod
    def from_table(cls, table: Mapping[str, Tensor], path: Path) -> Vgg19Pyramid:
        """Take the weights from a table that was read from ``path``."""
        network = cls()
        names = {f"vgg.{ours}": theirs for ours, theirs in network.vgg.keys().items()}
        fill(network, names, table, path, "VGG-19")
        return network

    def features(self, picture: Tensor) -> list[Tensor]:
        found = []
        for _ in range(_SCALES):
            found += [part[0] for part in self.vgg((picture - self.mean) / self.deviation)]
            if picture.shape[-1] < 2 * _LEAST_SIDE:
                break  # five poolings leave nothing of a smaller picture
            picture = F.avg_pool2d(picture, 2)
        return found

    def compare(self, made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        return torch.stack([(a - b).abs().mean((1, 2, 3)) for a, b in zip(made, wanted, strict=True)]).sum(0)
