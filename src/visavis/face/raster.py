"""Which triangle of a mesh is seen at each pixel, and where in it (HeadGAN section 4.1): no CUDA, no OpenGL.

The rules, which both ways of computing them here keep to the bit:

- Points are put on a grid of 1/256 pixel, as graphics hardware does, so that what is inside is decided in integers.
- A pixel belongs to a triangle that holds its centre; of a centre on an edge, to the triangle on whose left or top
  that edge is. So neighbours share no pixel and leave none out.
- Triangles that face away (not clockwise in the picture) are not drawn.
- The triangle that is nearest at the pixel's centre is seen; depth counts in steps of 2^-20 of half the picture's
  side, and of equal ones the first triangle is seen.

Triangles are cut into rows, and rows into pixels, all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BACKGROUND = -1
_STEPS = 256  # of the grid in a pixel
_HALF = _STEPS // 2
_FARTHEST = 8.0  # half sides; points beyond are moved there, lest integers overflow
_DEPTH_STEPS = 1 << 20


@dataclass(frozen=True)
class Raster:
    """What is seen of a mesh.

    Attributes:
        index: ``int32 [S, S]``, the triangle that is seen, -1 where none is.
        barycentric: ``float32 [S, S, 3]``, weights of its three points at the pixel's centre, from 0 to 1 with sum 1;
            0 where none is.
    """

    index: NDArray[np.int32]
    barycentric: NDArray[np.float32]


def rasterise(points: NDArray[np.float32], triangles: NDArray[np.int32], size: int) -> Raster:
    """Draw one mesh.

    Args:
        points: ``float32 [N, 3]`` in crop coordinates, finite; z has their scale, smaller is nearer.
        triangles: ``int32 [T, 3]``.
        size: side S of the picture in pixels.
    """
    cut = size * _STEPS // 2
    grid = np.rint((np.clip(points[:, :2], -_FARTHEST, _FARTHEST) + 1) * np.float32(cut)).astype(np.int64)
    corners = grid[triangles]  # [T, 3, 2]
    x, y = corners[..., 0], corners[..., 1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    first = np.maximum(_rows_from(y.min(1)), 0)
    count = np.where(area > 0, np.minimum(_rows_from(y.max(1)), size) - first, 0).clip(0)
    # One span for each row of each triangle.
    owner = np.repeat(np.arange(len(triangles)), count)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - first, count)
    start, stop = np.zeros_like(owner), np.full_like(owner, size)
    after = corners[:, [1, 2, 0]]
    rise = after[..., 1] - y  # [T, 3]
    slope = after[..., 0] - x
    # Where an edge crosses the row's middle, as (level + slope * row) / (256 * rise): whole numbers throughout.
    level = (x - _HALF) * rise + slope * (_HALF - y)
    sign = np.sign(rise)
    level, slope, below = level * sign, slope * sign * _STEPS, np.maximum(rise * sign, 1) * _STEPS
    for edge in range(3):
        at = -((-level[owner, edge] - slope[owner, edge] * row) // below[owner, edge])
        side = sign[owner, edge]
        # Clockwise with y down: what rises in the picture is the left side.
        np.maximum(start, np.where(side < 0, at, 0), out=start)
        np.minimum(stop, np.where(side > 0, at, size), out=stop)
    width = (stop - start).clip(0)
    span = np.repeat(np.arange(len(owner)), width)
    column = np.arange(len(span)) - np.repeat(np.cumsum(width) - width - start, width)
    return _nearest(points, corners, area, owner[span], row[span], column, triangles, size)


def _rows_from(y: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row whose middle is not above y."""
    return np.asarray(-((_HALF - y) // _STEPS), np.int64)
