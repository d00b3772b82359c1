"""The first order motion model (Siarohin et al., NeurIPS 2019): the plain keypoint family and everyone's baseline.

Parameter names are those of the published checkpoints, whose grids put -1 and 1 on pixel centres
(:mod:`visavis.nn.warp` says more).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.core.config import check_ranges, check_volume
from visavis.core.errors import ConfigError
from visavis.face.types import Observation
from visavis.generators.network import NetworkGenerator
from visavis.motion.detector import KeypointDetector
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.keypoints import KeypointMotion
from visavis.motion.layout import Motion
from visavis.nn.blocks import AntiAliasDownsample, DownBlock, Hourglass, ResBlock, SameBlock, UpBlock
from visavis.nn.cost import gmac
from visavis.nn.dense_motion import keypoint_heatmaps, sparse_motions
from visavis.nn.graph import Graph
from visavis.nn.warp import coordinate_grid, resize_grid, sample

_VARIANCE = 0.01
_WIDTHS = ("detector_width", "detector_max", "motion_width", "motion_max", "width", "most")
_RANGES = {
    "size": (32, 4096),
    "keypoints": (1, 256),
    "detector_blocks": (1, 8),
    "motion_blocks": (1, 8),
    "down_blocks": (1, 5),
    "bottleneck_blocks": (0, 32),
    **dict.fromkeys(_WIDTHS, (1, 2048)),
}


@dataclass(frozen=True)
class KeypointConfig:
    """Shape of a first order model.

    Attributes:
        size: side of the square pictures.
        keypoints: K.
        jacobians: whether keypoints carry a 2x2 frame.
        detector_width, detector_blocks, detector_max: hourglass of the keypoint detector.
        motion_width, motion_blocks, motion_max: hourglass of the dense motion network.
        width, down_blocks, bottleneck_blocks, most: the generator's.
    """

    size: int = 256
    keypoints: int = 10
    jacobians: bool = True
    detector_width: int = 32
    detector_blocks: int = 5
    detector_max: int = 1024
    motion_width: int = 64
    motion_blocks: int = 5
    motion_max: int = 1024
    width: int = 64
    down_blocks: int = 2
    bottleneck_blocks: int = 6
    most: int = 512

    def __post_init__(self) -> None:
        """Refuse shapes that no network can have, or that would fill the memory before it is noticed."""
        check_ranges(self, _RANGES)
        step = max(4 * 2 ** max(self.detector_blocks, self.motion_blocks), 2**self.down_blocks)
        if self.size % step:
            raise ConfigError(f"'size' must be a multiple of {step} for this many blocks, not {self.size}")
        quarter = max(self.detector_width, self.motion_width, 4 * (self.keypoints + 1))
        check_volume(self.size, {1: self.width, 4: quarter})

    @classmethod
    def vox256(cls) -> KeypointConfig:
        """The published vox-256."""
        return cls()

    @classmethod
    def tiny(cls) -> KeypointConfig:
        """A network small enough for tests."""
        return cls(64, 3, True, 4, 2, 16, 4, 2, 16, 4, 2, 1, 16)


@dataclass(frozen=True)
class EncodedSource:
    """What depends on the source alone.

    Attributes:
        small: the picture at S/4.
        features: encoder features at S / 2^down_blocks.
        motion: keypoints of the source.
    """

    small: Tensor
    features: Tensor
    motion: KeypointMotion


@dataclass(frozen=True)
class Moved:
    """The dense motion and what it makes of the source.

    Attributes:
        features: of the source, moved, and zero where they are occluded.
        grid, occlusion, mask: as in :class:`KeypointRendering`.
    """

    features: Tensor
    grid: Tensor
    occlusion: Tensor
    mask: Tensor


@dataclass(frozen=True)
class KeypointRendering:
    """One frame and how it came about.

    Attributes:
        picture: ``[B, 3, S, S]`` in [0, 1].
        grid: dense motion ``[B, S/4, S/4, 2]``.
        occlusion: ``[B, 1, S/4, S/4]`` in [0, 1].
        mask: share of each candidate motion, ``[B, K + 1, S/4, S/4]``.
    """

    picture: Tensor
    grid: Tensor
    occlusion: Tensor
    mask: Tensor


class DenseMotion(nn.Module):
    """Dense motion and occlusion from keypoints (section 3.2)."""

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.hourglass = Hourglass(
            config.motion_width, 4 * (config.keypoints + 1), config.motion_blocks, config.motion_max
        )
        self.mask = nn.Conv2d(self.hourglass.out_filters, config.keypoints + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_filters, 1, 7, padding=3)
        self.down = AntiAliasDownsample(3, 0.25)

    def forward(self, source: EncodedSource, driving: KeypointMotion) -> tuple[Tensor, Tensor, Tensor]:
        """Return grid, occlusion and mask, as in :class:`KeypointRendering`."""
        count, _, height, width = source.small.shape
        still = source.motion
        grid = coordinate_grid(height, width, align_corners=True, device=source.small.device)
        heat = keypoint_heatmaps(driving.points, grid, _VARIANCE) - keypoint_heatmaps(still.points, grid, _VARIANCE)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], 1)
        motions = sparse_motions(still.points, still.jacobians, driving.points, driving.jacobians, grid)
        candidates = motions.shape[1]
        spread = source.small[:, None].expand(-1, candidates, -1, -1, -1).flatten(0, 1)
        moved = sample(spread, motions.flatten(0, 1)).view(count, candidates, 3, height, width)
        seen = self.hourglass(torch.cat([heat[:, :, None], moved], 2).flatten(1, 2))
        mask = self.mask(seen).softmax(1)
        return (mask[..., None] * motions).sum(1), self.occlusion(seen).sigmoid(), mask


class Inpainter(nn.Module):
    """The generator of the first order model: encoder, warp, occlusion, decoder (section 3.2)."""

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion(config)
        widths = [min(config.most, config.width * 2**i) for i in range(config.down_blocks + 1)]
        pairs = list(pairwise(widths))
        self.first = SameBlock(3, widths[0], kernel_size=7, padding=3)
        self.down_blocks = nn.ModuleList([DownBlock(a, b) for a, b in pairs])
        self.bottleneck = nn.Sequential()
        for number in range(config.bottleneck_blocks):
            self.bottleneck.add_module(f"r{number}", ResBlock(widths[-1]))
        self.up_blocks = nn.ModuleList([UpBlock(b, a) for a, b in reversed(pairs)])
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def encode(self, picture: Tensor) -> Tensor:
        """Features of the source ``[B, C, S / 2^n, S / 2^n]``."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        return x  # type: ignore[no-any-return]

    def move(self, features: Tensor, grid: Tensor, occlusion: Tensor) -> Tensor:
        """Warp features of the source and hide what is occluded."""
        size = features.shape[2:]
        x = sample(features, resize_grid(grid, size))
        if occlusion.shape[2:] != size:
            occlusion = F.interpolate(occlusion, size=size, mode="bilinear", align_corners=False)
        return x * occlusion

    def decode(self, features: Tensor) -> Tensor:
        """Paint moved features."""
        x = self.bottleneck(features)
        for block in self.up_blocks:
            x = block(x)
        return self.final(x).sigmoid()  # type: ignore[no-any-return]


class FirstOrderModel(nn.Module):
    """Keypoint detector and generator."""

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.config = config
        self.kp_detector = KeypointDetector(
            in_channels=3,
            num_keypoints=config.keypoints,
            block_expansion=config.detector_width,
            num_blocks=config.detector_blocks,
            max_features=config.detector_max,
            temperature=0.1,
            estimate_jacobian=config.jacobians,
            scale_factor=0.25,
            pad=0,
        )
        self.generator = Inpainter(config)

    def detect(self, picture: Tensor) -> KeypointMotion:
        """Keypoints of ``[B, 3, S, S]`` in [0, 1]; always in float32."""
        with torch.autocast(picture.device.type, enabled=False):
            found: KeypointMotion = self.kp_detector(picture.float())
            return found

    def encode(self, picture: Tensor, motion: KeypointMotion) -> EncodedSource:
        """Compute what depends on the source alone."""
        small = self.generator.dense_motion_network.down(picture)
        return EncodedSource(small, self.generator.encode(picture), motion)

    def render(self, source: EncodedSource, driving: KeypointMotion) -> KeypointRendering:
        """Render a driving motion, by the graphs :meth:`move` and :meth:`decode`."""
        moved = self.move(source, driving)
        return KeypointRendering(self.decode(moved.features), moved.grid, moved.occlusion, moved.mask)

    def move(self, source: EncodedSource, driving: KeypointMotion) -> Moved:
        """Dense motion, and the source's features moved by it."""
        grid, occlusion, mask = self.generator.dense_motion_network(source, driving)
        return Moved(self.generator.move(source.features, grid, occlusion), grid, occlusion, mask)

    def decode(self, features: Tensor) -> Tensor:
        """The picture of moved features."""
        return self.generator.decode(features)


class KeypointGenerator(NetworkGenerator[KeypointConfig, FirstOrderModel, EncodedSource]):
    """The first order model behind the contract that all generators keep.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute; in bf16 all but keypoints and dense motion is.
    """

    family = "keypoint"
    shape_class, network_class = KeypointConfig, FirstOrderModel
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {"fomm-vox-256": asdict(KeypointConfig.vox256())}
    exact = ("kp_detector", "generator.dense_motion_network")
    graphs = (Graph("detect", exact=True), Graph("move", exact=True, lent=True), Graph("decode", lent=True))

    @cached_property
    def kind(self) -> KeypointKind:
        """Points, then jacobians."""
        return KeypointKind(self.config.keypoints, self.config.jacobians)

    def _analyse(self, observation: Observation) -> Motion:
        """Keypoints of one observation."""
        return self.network.detect(self._picture(observation)).frame(self.kind.layout)

    def _prepare(self, references: Sequence[Observation]) -> EncodedSource:
        """Encode the source."""
        picture = self._picture(references[0])
        motion = self.network.detect(picture)
        return self.network.encode(picture, motion)

    def _render(self, person: EncodedSource, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Tensor:
        """Render one frame; no sound is heard."""
        return self.network.render(person, KeypointMotion.of(motions[-1]).tensors(self.device)).picture

    @staticmethod
    def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates per source and per driving frame, by part."""
        assert isinstance(network, FirstOrderModel)
        side = network.config.size
        picture = torch.rand(1, 3, side, side)
        motion = network.detect(picture)
        source = network.encode(picture, motion)
        detector = gmac(lambda: network.detect(picture))
        dense = gmac(lambda: network.generator.dense_motion_network(source, motion))
        render = gmac(lambda: network.render(source, motion))
        per_source = {"detector": detector, "encoder": gmac(lambda: network.encode(picture, motion))}
        per_frame = {"detector": detector, "motion": dense, "decoder": render - dense}
        return {"per_source": per_source, "per_frame": per_frame}
