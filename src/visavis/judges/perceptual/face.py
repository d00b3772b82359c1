"""A perceptual distance in the features of our own face network, for where the published networks are not at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from visavis.judges.face_network import PACKAGED_NAME, FaceNetwork, load_face_network
from visavis.judges.perceptual.base import PerceptualDistance
from visavis.judges.perceptual.lpips import unit

# Of a picture larger than the network's, the fine scales are compared once more at twice the size.
_FINE_SCALES = 2


class FaceDistance(PerceptualDistance):
    """Squared difference of unit-length features, like LPIPS without its weights: mean over places, sum over scales."""

    def __init__(self, network: FaceNetwork, name: str = PACKAGED_NAME) -> None:
        super().__init__()
        self.name = name
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: Path | None = None) -> FaceDistance:
        """Load a face network, or the packaged one; its name tells which."""
        return cls(load_face_network(path), PACKAGED_NAME if path is None else f"face:{path.name}")

    def features(self, picture: Tensor) -> list[Tensor]:
        maps = self.network.features(picture)
        if picture.shape[-1] >= 2 * self.network.config.size:
            maps += self.network.features(picture, zoom=2, scales=_FINE_SCALES)
        return [unit(x) for x in maps]

    def compare(self, made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        return torch.stack([((a - b) ** 2).sum(1).mean((1, 2)) for a, b in zip(made, wanted, strict=True)]).sum(0)
