"""Which triangle of a mesh is seen at each pixel, and where in it (HeadGAN section 4.1): no CUDA, no OpenGL.

The rules, which both ways of computing them here keep to the bit:

- Points are put on a grid of 1/256 pixel, as graphics hardware does, so that what is inside is decided in integers.
- A pixel belongs to a triangle that holds its centre; of a centre on an edge, to the triangle on whose left or top
  that edge is. So neighbours share no pixel and leave none out.
- Triangles that face away (not clockwise in the picture) are not drawn.
- The triangle that is nearest at the pixel's centre is seen; depth counts in steps of 2^-20 of half the picture's
  side, and of equal ones the first triangle is seen.

All of it is whole numbers, so that a CPU and a GPU see the same triangles. Triangles are cut into rows, and rows into
pixels, all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]

BACKGROUND = -1
_STEPS = 256  # of the grid in a pixel
_HALF = _STEPS // 2
_FARTHEST = 4.0  # half sides; points beyond are moved there, lest integers overflow
MOST_SIDE = 1024  # for the same reason
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
        size: side S of the picture in pixels, at most 1024.
    """
    _check(size)
    near = np.clip(points, -_FARTHEST, _FARTHEST).astype(np.float32)
    grid = np.rint((near[:, :2] + 1) * np.float32(size * _HALF)).astype(np.int64)
    corners = grid[triangles]
    x, y = corners[..., 0], corners[..., 1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    first = np.maximum(_from(y.min(1)), 0)
    count = np.where(area > 0, np.minimum(_from(y.max(1)), size) - first, 0).clip(0)
    # One span for each row of each triangle.
    owner = np.repeat(np.arange(len(triangles)), count)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - first, count)
    start, stop = np.zeros_like(owner), np.full_like(owner, size)
    for edge in range(3):
        # The edge crosses the row's middle at (level + slope * row) / below, in pixels from the first one's middle.
        other = (edge + 1) % 3
        rise, run = y[:, other] - y[:, edge], x[:, other] - x[:, edge]
        side = np.sign(rise)
        below = np.abs(rise) * _STEPS + (rise == 0)
        level, slope = side * ((x[:, edge] - _HALF) * rise + run * (_HALF - y[:, edge])), side * run * _STEPS
        column = -(-(level[owner] + slope[owner] * row) // below[owner])
        # Clockwise with y down: an edge that goes up is on the left.
        np.maximum(start, np.where(side[owner] < 0, column, 0), out=start)
        np.minimum(stop, np.where(side[owner] > 0, column, size), out=stop)
    width = (stop - start).clip(0)
    # And one entry for each pixel of each span.
    pixel = np.arange(int(width.sum())) - np.repeat(np.cumsum(width) - width - start - row * size, width)
    triangle = np.repeat(owner, width)
    index = np.full(size * size, BACKGROUND, np.int32)
    index[pixel] = triangle
    if len(pixel) > np.count_nonzero(index >= 0):
        crowded = np.bincount(pixel, minlength=size * size)[pixel] > 1
        pixel, triangle = pixel[crowded], triangle[crowded]
        depth = np.rint(near[:, 2] * np.float32(_DEPTH_STEPS)).astype(np.int64)[triangles]
        nearness = _depth(corners, area, depth, triangle, pixel, size) * len(triangles) + triangle
        farthest_first = np.argsort(nearness)[::-1]
        index[pixel[farthest_first]] = triangle[farthest_first]  # of entries of one pixel the last one stays
    index = index.reshape(size, size)
    return Raster(index, _barycentric(corners, area, index, size))


def _check(size: int) -> None:
    if not 1 <= size <= MOST_SIDE:
        raise ValueError(f"pictures have sides of 1 to {MOST_SIDE} pixels, not {size}")


def _from(y: Integers) -> Integers:
    """The first row whose middle is not above y."""
    return np.asarray(-((_HALF - y) // _STEPS), np.int64)


def _depth(
    corners: Integers, area: Integers, depth: Integers, triangle: Integers, pixel: Integers, size: int
) -> Integers:
    """Depths ``[P]`` of triangles at the centres of pixels."""
    own, z = corners[triangle], depth[triangle]
    x = (pixel % size) * _STEPS + _HALF - own[:, 0, 0]
    y = (pixel // size) * _STEPS + _HALF - own[:, 0, 1]
    along, across = own[:, 1] - own[:, 0], own[:, 2] - own[:, 0]
    second, third = x * across[:, 1] - y * across[:, 0], y * along[:, 0] - x * along[:, 1]
    return np.asarray(
        z[:, 0] + (second * (z[:, 1] - z[:, 0]) + third * (z[:, 2] - z[:, 0])) // area[triangle], np.int64
    )


def _barycentric(corners: Integers, area: Integers, index: NDArray[np.int32], size: int) -> NDArray[np.float32]:
    """Weights ``[S, S, 3]`` of the points of the triangles that are seen."""
    along, across = (corners[:, i] - corners[:, 0] for i in (1, 2))
    parts = (across[:, 1], -across[:, 0], -along[:, 1], along[:, 0])
    rates = [(part / np.maximum(area, 1)).astype(np.float32) for part in parts]
    row, column = np.nonzero(index >= 0)
    own = index[row, column]
    x = (column * _STEPS + _HALF - corners[:, 0, 0][own]).astype(np.float32)
    y = (row * _STEPS + _HALF - corners[:, 0, 1][own]).astype(np.float32)
    second = np.clip(x * rates[0][own] + y * rates[1][own], 0, 1)
    third = np.clip(x * rates[2][own] + y * rates[3][own], 0, 1)
    picture = np.zeros((size, size, 3), np.float32)
    picture[row, column] = np.stack([np.maximum(1 - second - third, 0), second, third], 1)
    return picture


def rasterise_batch(points: Tensor, triangles: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Draw many meshes, on the device where they are.

    Args:
        points: ``float32 [B, N, 3]`` as for :func:`rasterise`.
        triangles: ``int [T, 3]``.
        size: side S of the pictures in pixels, at most 1024.

    Returns:
        ``(index int64 [B, S, S], barycentric float32 [B, S, S, 3])`` as of :class:`Raster`. The barycentrics are
        differentiable with respect to the points; which triangle is seen is not.
    """
    _check(size)
    triangles = triangles.long()
    batch, number = len(points), len(triangles)
    with torch.no_grad():
        near = points.detach().float().clamp(-_FARTHEST, _FARTHEST)
        grid = torch.round((near[..., :2] + 1) * (size * _HALF)).long()
        corners = grid[:, triangles].reshape(-1, 3, 2)
        depth = torch.round(near[..., 2] * _DEPTH_STEPS).long()[:, triangles].reshape(-1, 3)
        index = _nearest(corners, depth, batch, number, size)
    # The grid's points decide, the true ones have the gradients.
    scaled = (points[..., :2].float() + 1) * (size * _HALF)
    exact = (scaled + (grid.to(scaled.dtype) - scaled).detach()).reshape(-1, 2)
    picture, row, column = torch.nonzero(index >= 0, as_tuple=True)
    own = triangles[index[picture, row, column]] + (picture * points.shape[1])[:, None]
    first, along, across = (exact[own[:, corner]] for corner in range(3))
    along, across = along - first, across - first
    x, y = (torch.stack([column, row], 1) * _STEPS + _HALF - first).unbind(1)
    area = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    second = (x * across[:, 1] - y * across[:, 0]) / area
    third = (y * along[:, 0] - x * along[:, 1]) / area
    weights = torch.stack([1 - second - third, second, third], -1)
    barycentric = torch.zeros(batch, size, size, 3, device=points.device)
    return index, barycentric.index_put((picture, row, column), weights)


def _nearest(corners: Tensor, depth: Tensor, batch: int, number: int, size: int) -> Tensor:
    """The triangles ``int64 [B, S, S]`` that are seen, of corners ``int64 [B T, 3, 2]`` and depths ``[B T, 3]``."""
    device = corners.device
    x, y = corners.unbind(-1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    first = (-((_HALF - y.amin(1)) // _STEPS)).clamp(min=0)
    last = (-((_HALF - y.amax(1)) // _STEPS)).clamp(max=size)
    count = torch.where(area > 0, (last - first).clamp(min=0), 0)
    owner = torch.repeat_interleave(torch.arange(len(count), device=device), count)
    row = torch.arange(len(owner), device=device) - (torch.cumsum(count, 0) - count - first)[owner]
    start, stop = torch.zeros_like(owner), torch.full_like(owner, size)
    for edge in range(3):
        other = (edge + 1) % 3
        rise, run = y[:, other] - y[:, edge], x[:, other] - x[:, edge]
        side = torch.sign(rise)
        below = rise.abs() * _STEPS + (rise == 0)
        level, slope = side * ((x[:, edge] - _HALF) * rise + run * (_HALF - y[:, edge])), side * run * _STEPS
        column = -(-(level[owner] + slope[owner] * row) // below[owner])
        start = torch.maximum(start, torch.where(side[owner] < 0, column, 0))
        stop = torch.minimum(stop, torch.where(side[owner] > 0, column, size))
    width = (stop - start).clamp(min=0)
    span = torch.repeat_interleave(torch.arange(len(owner), device=device), width)
    column = torch.arange(len(span), device=device) - (torch.cumsum(width, 0) - width - start)[span]
    triangle, row = owner[span], row[span]
    own, z = corners[triangle], depth[triangle]
    dx, dy = column * _STEPS + _HALF - own[:, 0, 0], row * _STEPS + _HALF - own[:, 0, 1]
    along, across = own[:, 1] - own[:, 0], own[:, 2] - own[:, 0]
    second, third = dx * across[:, 1] - dy * across[:, 0], dy * along[:, 0] - dx * along[:, 1]
    at = z[:, 0] + (second * (z[:, 1] - z[:, 0]) + third * (z[:, 2] - z[:, 0])) // area[triangle]
    nothing = torch.iinfo(torch.int64).max
    nearest = torch.full((batch * size * size,), nothing, dtype=torch.int64, device=device)
    pixel = triangle // number * (size * size) + row * size + column
    nearest.scatter_reduce_(0, pixel, at * number + triangle % number, "amin")
    index = torch.where(nearest == nothing, BACKGROUND, nearest % number)
    return index.reshape(batch, size, size)
