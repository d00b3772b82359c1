"""Many face meshes drawn at once, wherever the tensors live: which triangle each pixel shows."""

from __future__ import annotations

import torch
from torch import Tensor

_INDEX_BITS = 11
_DEPTH_LEVELS = 1 << 19
_NOTHING = torch.iinfo(torch.int32).max
#: Candidate pixels that are looked at together: what keeps the memory of it at some hundred MB.
_AT_ONCE = 1 << 22
_LEAST_WINDOW = 4


@torch.no_grad()
def rasterise_all(points: Tensor, triangles: Tensor, side: int) -> Tensor:
    """Return the visible triangle of each pixel, ``int16 [N, side, side]``, -1 for none.

    Each triangle is looked at in a square window of pixels that covers it, windows of one size together; the nearest
    surface wins by one atomic minimum of depth and number.

    Args:
        points: ``float32 [N, V, 3]`` in [-1, 1] over the picture; z grows away from the camera.
        triangles: ``int64 [T, 3]``, numbers of vertices; fewer than 2,048.
        side: of the pictures, in pixels. A pixel shows what covers its middle.
    """
    if len(triangles) >= 1 << _INDEX_BITS:
        raise ValueError(f"{len(triangles)} triangles are more than {(1 << _INDEX_BITS) - 1}")
    at_once = max(1, _AT_ONCE // (4 * len(triangles)))
    found = [_rasterise(part, triangles, side) for part in points.split(at_once)]
    return torch.cat(found) if found else torch.empty((0, side, side), dtype=torch.int16, device=points.device)


def _rasterise(points: Tensor, triangles: Tensor, side: int) -> Tensor:
    corners = points[:, triangles].float()  # [N, T, 3, 3]
    pixels = (corners[..., :2] + 1) * (side / 2) - 0.5  # pixel i has its middle at i
    least, most = pixels.amin(2), pixels.amax(2)
    first = least.ceil().clamp(0, side).long()
    count = ((most.floor() + 1).clamp(0, side).long() - first).amax(-1)
    count = torch.where((most[..., 0] < 0) | (most[..., 1] < 0), torch.zeros_like(count), count)
    depth = _levels(corners[..., 2])
    canvas = torch.full((len(points) * side * side,), _NOTHING, dtype=torch.int32, device=points.device)
    window, below = _LEAST_WINDOW, 0
    while below < side:
        frame, number = ((count > below) & (count <= window)).nonzero(as_tuple=True)
        for rows in range(0, len(frame), max(1, _AT_ONCE // window**2)):
            some = slice(rows, rows + max(1, _AT_ONCE // window**2))
            _draw(canvas, pixels, depth, first, frame[some], number[some], window, side)
        window, below = 2 * window, window
    index = torch.where(canvas == _NOTHING, -1, canvas & ((1 << _INDEX_BITS) - 1))
    return index.view(-1, side, side).to(torch.int16)


def _levels(z: Tensor) -> Tensor:
    """Depth in whole levels over what each frame spans, ``float32 [N, T, 3]``."""
    flat = z.flatten(1)
    near, far = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
    return (z - near) / (far - near).clamp_min(1e-9) * (_DEPTH_LEVELS - 1)


def _draw(
    canvas: Tensor, pixels: Tensor, depth: Tensor, first: Tensor, frame: Tensor, number: Tensor, window: int, side: int
) -> None:
    """Draw triangle ``number[i]`` of ``frame[i]``, all of which fit into a window."""
    corner, z, start = pixels[frame, number], depth[frame, number], first[frame, number]
    along = torch.arange(window, device=canvas.device)
    x, y = start[:, None, None, 0] + along[None, None, :], start[:, None, None, 1] + along[None, :, None]
    one, two = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    turned = area.abs() < 1e-9  # seen from the edge: covers nothing
    inverse = 1 / torch.where(turned, torch.ones_like(area), area)
    dx, dy = x - corner[:, None, None, 0, 0], y - corner[:, None, None, 0, 1]
    second = (dx * two[:, None, None, 1] - dy * two[:, None, None, 0]) * inverse[:, None, None]
    third = (dy * one[:, None, None, 0] - dx * one[:, None, None, 1]) * inverse[:, None, None]
    covered = (second >= 0) & (third >= 0) & (second + third <= 1) & (x < side) & (y < side) & ~turned[:, None, None]
    level = z[:, None, None, 0] * (1 - second - third) + z[:, None, None, 1] * second + z[:, None, None, 2] * third
    key = (level.clamp(0, _DEPTH_LEVELS - 1).int() << _INDEX_BITS) | number.int()[:, None, None]
    place = frame[:, None, None] * side * side + y.clamp_max(side - 1) * side + x.clamp_max(side - 1)
    # What is not covered is compared too, and never wins.
    key = torch.where(covered, key, _NOTHING)
    canvas.scatter_reduce_(0, place.flatten(), key.flatten(), "amin")
