"""A small network that looks at faces, for perceptual losses and for Frechet distances.

One trunk of five scales learns, all at once, where the mesh points are, what is person, which places have been
tampered with, and whose face it is. What it must know for that is what a loss between two pictures should compare.
It is far too weak to recognise people, and not meant to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.core.config import check_ranges, check_volume
from visavis.core.errors import ConfigError
from visavis.nn.cost import gmac
from visavis.weights.network import load_network
from visavis.weights.store import resolve

FAMILY = "face"
PACKAGED_NAME = "face-128"
#: The mesh without irises: their points are the mesh detector's least certain ones.
MESH_POINTS = 468

_MOST_SCALES = 8
_WIDTHS = ("widths", "embedding", "mesh_channels", "mesh_rank", "place_channels")
_RANGES = {"size": (8, 1024), "identities": (0, 1 << 20), **dict.fromkeys(_WIDTHS, (1, 2048))}


@dataclass(frozen=True)
class FaceConfig:
    """Shape of the network.

    Attributes:
        size: side in pixels that pictures are resized to; a multiple of 2 to the number of widths.
        widths: channels of each scale, the first at half the size.
        embedding: length of the embedding.
        mesh_channels, mesh_rank: how narrow the way from the picture to the mesh points is.
        place_channels: width of what decides, place by place, on person and damage.
        identities: people whom the identity head tells apart while it trains; 0, as in packaged weights, for no head.
    """

    size: int = 128
    widths: tuple[int, ...] = (20, 40, 80, 128, 160)
    embedding: int = 128
    mesh_channels: int = 12
    mesh_rank: int = 64
    place_channels: int = 24
    identities: int = 0

    def __post_init__(self) -> None:
        if not 3 <= len(self.widths) <= _MOST_SCALES or self.size < 1 or self.size % 2 ** len(self.widths):
            scales = f"{len(self.widths)} widths (3 to {_MOST_SCALES})"
            raise ConfigError(f"a face network of {scales} cannot have size {self.size}")
        check_ranges(self, _RANGES)
        check_volume(self.size, {2: max(self.widths)})

    def with_identities(self, count: int) -> FaceConfig:
        """The same shape with a head for so many people."""
        return replace(self, identities=count)

    @classmethod
    def tiny(cls, identities: int = 0) -> FaceConfig:
        """For tests."""
        return cls(
            size=32,
            widths=(4, 6, 8),
            embedding=8,
            mesh_channels=2,
            mesh_rank=4,
            place_channels=4,
            identities=identities,
        )


@dataclass(frozen=True)
class FaceReading:
    """What the network says of B pictures.

    Attributes:
        mesh: ``[B, 468, 2]``, points ``(x, y)`` in [-1, 1].
        segmentation: ``[B, s, s]`` logits of person; s is a quarter of the size.
        damage: ``[B, s, s]`` logits of places that look tampered with: warped, blurred, doubled, replaced.
        embedding: ``[B, D]`` of unit length.
    """

    mesh: Tensor
    segmentation: Tensor
    damage: Tensor
    embedding: Tensor


class _Scale(nn.Module):
    """Half the resolution, then a residual convolution where there is a second one."""

    def __init__(self, inside: int, outside: int, kernel: int, *, residual: bool) -> None:
        super().__init__()
        self.down = nn.Conv2d(inside, outside, kernel, stride=2, padding=kernel // 2, bias=False)
        self.down_norm = nn.BatchNorm2d(outside)
        self.conv = nn.Conv2d(outside, outside, 3, padding=1, bias=False) if residual else None
        self.norm = nn.BatchNorm2d(outside) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down_norm(self.down(x)))
        if self.conv is None or self.norm is None:
            return x
        return x + F.relu(self.norm(self.conv(x)))


class FaceNetwork(nn.Module):
    """Trunk and heads. In evaluation mode the result for a picture does not depend on its batch.

    Convention:
        Pictures are RGB ``[B, 3, S, S]`` in [0, 1], an aligned crop of head and shoulders; any S.
    """

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        first = _Scale(3, widths[0], 5, residual=False)
        self.scales = nn.ModuleList([first, *(_Scale(a, b, 3, residual=True) for a, b in pairwise(widths))])
        self.mesh_squeeze = nn.Conv2d(widths[-2], config.mesh_channels, 1)
        side = config.size // 2 ** (len(widths) - 1)
        self.mesh_rank = nn.Linear(config.mesh_channels * side**2, config.mesh_rank)
        self.mesh_points = nn.Linear(config.mesh_rank, 2 * MESH_POINTS)
        self.lateral = nn.ModuleList([nn.Conv2d(width, config.place_channels, 1) for width in widths[1:]])
        self.places = nn.Conv2d(config.place_channels, 2, 3, padding=1)
        self.embed = nn.Linear(widths[-2] + widths[-1], config.embedding)
        if config.identities:
            self.identities = nn.Parameter(torch.randn(config.identities, config.embedding))

    def features(self, picture: Tensor, *, zoom: int = 1, scales: int | None = None) -> list[Tensor]:
        """Feature maps ``[B, widths[i], s, s]``, s being ``zoom * size / 2^(i+1)``, finest first.

        Args:
            picture: ``[B, 3, S, S]`` in [0, 1].
            zoom: look at the picture at so many times the network's size.
            scales: how many of the scales, counted from the finest; all by default.
        """
        x = 2 * _resized(picture, zoom * self.config.size) - 1
        maps = []
        for scale in list(self.scales)[:scales]:
            x = scale(x)
            maps.append(x)
        return maps

    def embedding(self, picture: Tensor) -> Tensor:
        """Embedding ``[B, D]`` of unit length; pictures of one person tend to lie close."""
        return self._embedding(self.features(picture))

    def gmac(self) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates of a picture, by part."""
        picture = torch.rand(1, 3, self.config.size, self.config.size)
        features = gmac(lambda: self.features(picture))
        return {"per_picture": {"features": features, "heads": gmac(lambda: self(picture)) - features}}

    def forward(self, picture: Tensor) -> FaceReading:
        """Run trunk and heads."""
        maps = self.features(picture)
        code = self.mesh_rank(F.relu(self.mesh_squeeze(maps[-2])).flatten(1))
        mesh = self.mesh_points(code).view(-1, MESH_POINTS, 2)
        places = self.places(F.relu(self._joined(maps[1:]))).float()
        return FaceReading(mesh.float(), places[:, 0], places[:, 1], self._embedding(maps))

    def _joined(self, maps: list[Tensor]) -> Tensor:
        """All scales but the first as one map with the side of the finest of them."""
        side = maps[0].shape[2:]
        joined = self.lateral[0](maps[0])
        for lateral, x in zip(list(self.lateral)[1:], maps[1:], strict=True):
            joined = joined + F.interpolate(lateral(x), size=side, mode="bilinear", align_corners=False)
        return joined

    def _embedding(self, maps: list[Tensor]) -> Tensor:
        pooled = torch.cat([x.float().mean((2, 3)) for x in maps[-2:]], 1)
        return F.normalize(self.embed(pooled).float(), dim=1)


def _resized(picture: Tensor, size: int) -> Tensor:
    side = picture.shape[-1]
    if side == size:
        return picture
    if side % size == 0:
        return F.avg_pool2d(picture, side // size)
    return F.interpolate(picture, size=(size, size), mode="bilinear", align_corners=False, antialias=side > size)


def without_identities(config: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Shape and weights of a trained network without its identity head, which knows nobody but the training people."""
    return {**config, "identities": 0}, {name: value for name, value in tensors.items() if name != "identities"}


def load_face_network(path: Path | None = None) -> FaceNetwork:
    """Load the network of a file, or the packaged one, in evaluation mode and on the CPU.

    Raises:
        WeightsError: no such file, damaged, or of another family or shape.
    """
    return load_network(path or resolve(PACKAGED_NAME), FAMILY, FaceConfig, FaceNetwork)
