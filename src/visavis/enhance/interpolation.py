"""Frames between two generated ones (thesis, section 3.3.4), for a twentieth of what generating them costs.

Keypoints that moved on a straight line say roughly where each place comes from in either neighbour. A small network
corrects these two flows, says which neighbour to believe, and repairs what neither shows::

    keypoints -> guessed flows -> neighbours moved -> U-Net -> flows, mask -> both moved -> repair -> picture
                                                        |                                    ^
                                                        +------------- features -------------+

Nothing depends on the family of the keypoints or on their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.core.config import check_ranges
from visavis.nn.cost import gmac
from visavis.nn.warp import coordinate_grid, sample
from visavis.weights.network import load_network
from visavis.weights.store import resolve

FAMILY = "between"
PACKAGED_NAME = "between-256"
#: Sides of pictures are multiples of this.
MULTIPLE = 8
_SIDE = 256
_SPREAD_PX = 20.0
_STILL = 0.05
_FLOW_UNIT_PX = 2.0
_REPAIR_UNIT = 0.1  # what the repair says is small: in larger units the first steps of learning would be leaps


@dataclass(frozen=True)
class BetweenConfig:
    """Shape of the network.

    Attributes:
        width: channels at a quarter of the side; twice as many at an eighth.
        depth: convolutions at an eighth of the side.
        repair: channels of the repair, at half the side.
    """

    width: int = 32
    depth: int = 4
    repair: int = 32

    def __post_init__(self) -> None:
        check_ranges(self, {"width": (1, 512), "depth": (1, 32), "repair": (1, 512)})

    @classmethod
    def tiny(cls) -> BetweenConfig:
        """For tests."""
        return cls(width=4, depth=1, repair=4)


@dataclass(frozen=True)
class Neighbours:
    """B pairs of pictures with their motion, and a moment between them.

    Attributes:
        before, after: ``float32 [B, 3, H, W]`` in [0, 1]; sides are multiples of 8.
        before_points, after_points: their keypoints ``float32 [B, K, 2]``, ``(x, y)`` in [-1, 1]; any K.
        share: place between them, ``float32 [B]`` in (0, 1).
    """

    before: Tensor
    after: Tensor
    before_points: Tensor
    after_points: Tensor
    share: Tensor


@dataclass(frozen=True)
class Between:
    """What the network makes.

    Attributes:
        picture: ``[B, 3, H, W]``, not clamped.
        moved: the neighbours moved and mixed, before the repair.
    """

    picture: Tensor
    moved: Tensor


class Interpolator(nn.Module):
    """Two corrected flows, a mask and a repair. Untrained it mixes the neighbours moved by the keypoints alone."""

    def __init__(self, config: BetweenConfig) -> None:
        super().__init__()
        self.config = config
        width, deep = config.width, 2 * config.width
        self.down = nn.Sequential(_conv(12, width, stride=2), _conv(width, width))
        self.deep = nn.Sequential(_conv(width, deep, stride=2), *[_conv(deep, deep) for _ in range(config.depth)])
        self.up = _conv(deep, width)
        self.join = _conv(2 * width, width)
        self.flow = _silent(nn.Conv2d(width, 5, 3, padding=1))
        self.pass_on = nn.Conv2d(width, 8, 1)
        self.repair = nn.Sequential(
            _conv(33, config.repair),
            _conv(config.repair, config.repair),
            _silent(nn.Conv2d(config.repair, 16, 3, padding=1)),
            nn.PixelShuffle(2),
        )

    def gmac(self) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates of a picture of 256x256."""
        points, pictures = torch.rand(1, 10, 2), torch.rand(2, 1, 3, _SIDE, _SIDE)
        pair = Neighbours(pictures[0], pictures[1], points, points, torch.full((1,), 0.5))
        return {"per_picture": {"network": gmac(lambda: self(pair))}}

    def forward(self, pair: Neighbours) -> Between:
        """Make the pictures between."""
        guesses, density = _guess(pair)
        seen = [F.avg_pool2d(x, 2) for x in (pair.before, pair.after)]
        halves = [_resized(guess, seen[0]) for guess in guesses]
        moved = [move(picture, flow / 2) for picture, flow in zip(seen, halves, strict=True)]
        share = pair.share.view(-1, 1, 1, 1)
        even = share.expand(-1, 1, *seen[0].shape[2:])
        flows_in = [flow / _FLOW_UNIT_PX for flow in halves]
        features = self._features(
            torch.cat([*[picture - 0.5 for picture in moved], *flows_in, _resized(density, seen[0]), even], 1)
        )
        found = _resized(self.flow(features).float(), pair.before)
        coarse = [_resized(guess, pair.before) for guess in guesses]
        at_before = move(pair.before, coarse[0] + _FLOW_UNIT_PX * found[:, 0:2])
        at_after = move(pair.after, coarse[1] + _FLOW_UNIT_PX * found[:, 2:4])
        trust = torch.logit(share, eps=1e-3) + found[:, 4:5]
        both = F.pixel_unshuffle(torch.cat([at_before, at_after], 1) - 0.5, 2)
        repair = self.repair(torch.cat([both, _resized(self.pass_on(features), seen[0]), even], 1)).float()
        moved_alone = torch.lerp(at_before, at_after, trust.sigmoid())
        mixed = torch.lerp(at_before, at_after, (trust + repair[:, 3:]).sigmoid())
        return Between(mixed + _REPAIR_UNIT * repair[:, :3], moved_alone)

    def _features(self, x: Tensor) -> Tensor:
        fine = self.down(x)
        deep = _resized(self.up(self.deep(fine)), fine)
        return self.join(torch.cat([fine, deep], 1))


def motion_field(start: Tensor, end: Tensor, height: int, width: int, scale: int) -> tuple[Tensor, Tensor]:
    """Spread the movement of points over a picture: near a point it moves as the point does, far from all it rests.

    Args:
        start, end: points ``[B, K, 2]`` in [-1, 1] where the content is sampled, and where it is to be.
        height, width: of the picture; distances are measured in its pixels.
        scale: the field has so many times fewer pixels along either side.

    Returns:
        Flow ``[B, 2, h, w]`` in pixels of the picture, from each place of the output to where it samples, and how near
        points are, ``[B, 1, h, w]`` in [0, 1].
    """
    size = start.new_tensor([width, height]) / 2
    places = coordinate_grid(height // scale, width // scale, align_corners=False, device=start.device) * size
    at, movement = end * size, (start - end) * size
    distance = (places[None, :, :, None] - at[:, None, None]).square().sum(-1)
    weight = torch.exp(distance / (-2 * _SPREAD_PX**2))
    total = weight.sum(-1, keepdim=True) + _STILL
    field = torch.einsum("bhwk,bkc->bchw", weight / total, movement)
    return field, (1 - _STILL / total).permute(0, 3, 1, 2)


def move(picture: Tensor, flow: Tensor) -> Tensor:
    """Sample ``[B, C, H, W]`` where ``flow [B, 2, H, W]`` in pixels points to; the border goes on outside."""
    height, width = picture.shape[2:]
    size = flow.new_tensor([width, height])
    grid = coordinate_grid(height, width, align_corners=False, device=flow.device)
    grid = grid + flow.permute(0, 2, 3, 1) * (2 / size)
    last = 1 - 1 / size
    return sample(picture, torch.maximum(torch.minimum(grid, last), -last))


def load_interpolator(path: Path | None = None) -> Interpolator:
    """Load the network of a file, or the packaged one, in evaluation mode and on the CPU.

    Raises:
        WeightsError: no such file, damaged, or of another family or shape.
    """
    return load_network(path or resolve(PACKAGED_NAME), FAMILY, BetweenConfig, Interpolator)


def _guess(pair: Neighbours) -> tuple[list[Tensor], Tensor]:
    """Flows to both neighbours at a quarter of the side, by points that move straight on, and how near they are."""
    points = torch.lerp(pair.before_points, pair.after_points, pair.share.view(-1, 1, 1))
    height, width = pair.before.shape[2:]
    to_before, density = motion_field(pair.before_points, points, height, width, 4)
    to_after, _ = motion_field(pair.after_points, points, height, width, 4)
    return [to_before, to_after], density


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def _conv(inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.LeakyReLU(0.1))


def _silent(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution that says nothing until it has learned."""
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
