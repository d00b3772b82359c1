"""What a rasterised face says to networks: its colours, and where its surface lies in another picture.

Normalised mean face coordinates (HeadGAN section 4.1): each pixel has the place, in the mean face, of the middle of the
triangle that is seen there. A part of the face has its colour however the head is turned. And since the same triangle
of two pictures is the same skin, two rasters give the flow between them without any network.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.mesh import contour_edges
from visavis.face.model3d import FaceModel
from visavis.face.raster import Raster

Array = NDArray[np.float32]


def nmfc_colours(model: FaceModel) -> Array:
    """Colours of triangles, ``float32 [T, 3]`` in [0, 1]: x, y, z of their middles in the mean face.

    Each axis is normalised by the mean face's points, so that 0 and 1 are its outermost ones: left and right in the
    picture, top and bottom, near and far.
    """
    low, high = model.mean.min(0), model.mean.max(0)
    middles = model.mean[model.triangles].mean(1)
    return np.asarray((middles - low) / (high - low), np.float32)


def landmark_colours(model: FaceModel) -> Array:
    """Those colours along the contours of eyes, brows, nose, lips and face alone, black elsewhere; ``float32 [T, 3]``.

    What a drawing of landmarks tells a network, for an ablation (section 4.5, 'w/ landmarks'): where the contours are,
    and nothing of the surface between them.
    """
    edges = contour_edges()
    a, b, c = np.sort(model.triangles, 1).T.tolist()
    along = [bool({(i, j), (i, k), (j, k)} & edges) for i, j, k in zip(a, b, c, strict=True)]
    return np.asarray(nmfc_colours(model) * np.array(along, np.float32)[:, None], np.float32)


def nmfc(raster: Raster, colours: Array) -> Array:
    """The picture ``float32 [S, S, 3]`` of colours ``[T, 3]``; 0 outside the face."""
    # The background's index, -1, is the last row.
    return np.take(np.concatenate([colours, np.zeros_like(colours[:1])]), raster.index, axis=0)


def nmfc_batch(index: Tensor, colours: Tensor) -> Tensor:
    """Pictures ``float32 [B, 3, S, S]`` of ``index int [B, S, S]`` and colours ``[T, 3]``; 0 outside the face."""
    table = torch.cat([torch.zeros_like(colours[:1]), colours])
    return table[index.long() + 1].permute(0, 3, 1, 2)


def mesh_flow(raster: Raster, triangles: NDArray[np.int32], source_points: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Where the surface that the driving picture shows lies in the source picture.

    Args:
        raster: of the driving face.
        triangles: ``int32 [T, 3]``.
        source_points: ``float32 [N, 2 or 3]``, the source's face in crop coordinates.

    Returns:
        ``(grid float32 [S, S, 2], inside bool [S, S])``: for each pixel of the driving picture where to sample the
        source (``docs/conventions.md``), and whether it is of the face. Outside of it the grid says the pixel itself.
    """
    size = len(raster.index)
    inside = raster.index >= 0
    along = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    grid = np.stack(np.meshgrid(along, along), -1)
    corners = np.asarray(source_points[:, :2], np.float32)[triangles[raster.index[inside]]]
    grid[inside] = np.einsum("pc,pcd->pd", raster.barycentric[inside], corners)
    return grid, inside


def mesh_flow_batch(index: Tensor, barycentric: Tensor, triangles: Tensor, source_points: Tensor) -> Tensor:
    """As :func:`mesh_flow`, for batches: grids ``float32 [B, S, S, 2]``; inside is where ``index`` is not below 0.

    Args:
        index: ``int64 [B, S, S]`` of the driving faces.
        barycentric: ``float32 [B, S, S, 3]`` of them.
        triangles: ``int [T, 3]``.
        source_points: ``float32 [B, N, 2 or 3]``.
    """
    batch, size = index.shape[0], index.shape[-1]
    along = (2 * torch.arange(size, device=index.device, dtype=torch.float32) + 1) / size - 1
    y, x = torch.meshgrid(along, along, indexing="ij")
    inside = (index >= 0).unsqueeze(-1)
    own = triangles.long()[index.clamp(min=0)].reshape(batch, -1, 1).expand(-1, -1, 2)
    corners = torch.gather(source_points[..., :2].float(), 1, own).reshape(batch, size, size, 3, 2)
    return torch.where(inside, (barycentric.unsqueeze(-1) * corners).sum(-2), torch.stack([x, y], -1))


def seen_in(
    raster: Raster, source: Raster, triangles: NDArray[np.int32], source_points: Array, *, slack: float = 0.02
) -> NDArray[np.bool_]:
    """Which pixels of the driving face show skin that the source picture shows too, ``bool [S, S]``.

    Skin counts as seen where the source shows, at its place, that triangle, or one whose surface is no nearer than
    ``slack`` (in half sides) in front of it: neighbours at an edge do not hide each other. A cheek that is turned away
    or lies behind the nose does not count.

    Args:
        raster: of the driving face.
        source: raster of the source's face.
        triangles: ``int32 [T, 3]``.
        source_points: ``float32 [N, 3]``, the source's face in crop coordinates.
        slack: how far in front of skin a surface may lie that does not hide it.
    """
    size = len(source.index)
    grid, inside = mesh_flow(raster, triangles, source_points)
    place = np.floor((grid[inside] + 1) * (size / 2)).astype(np.int64)
    within = ((place >= 0) & (place < size)).all(1)
    column, row = np.clip(place, 0, size - 1).T
    there = source.index[row, column]
    z = np.asarray(source_points[:, 2], np.float32)
    own = (raster.barycentric[inside] * z[triangles[raster.index[inside]]]).sum(1)
    front = (source.barycentric[row, column] * z[triangles[there]]).sum(1)
    facing = facing_camera(source_points, triangles)[raster.index[inside]]
    seen = np.zeros_like(inside)
    seen[inside] = within & facing & ((there < 0) | (own - front <= slack))
    return seen


def seen_in_batch(
    index: Tensor,
    barycentric: Tensor,
    source_index: Tensor,
    source_barycentric: Tensor,
    triangles: Tensor,
    source_points: Tensor,
    *,
    slack: float = 0.02,
) -> Tensor:
    """As :func:`seen_in`, for batches: ``bool [B, S, S]`` of tensors as :func:`mesh_flow_batch` takes them."""
    batch, size = index.shape[0], index.shape[-1]
    triangles = triangles.long()
    inside = index >= 0
    grid = mesh_flow_batch(index, barycentric, triangles, source_points)
    place = torch.floor((grid + 1) * (size / 2)).long()
    within = ((place >= 0) & (place < size)).all(-1)
    column, row = place.clamp(0, size - 1).unbind(-1)
    flat = (row * size + column).reshape(batch, -1)
    there = torch.gather(source_index.reshape(batch, -1).long(), 1, flat)

    def depth(which: Tensor, weights: Tensor) -> Tensor:
        corners = triangles[which.clamp(min=0)].reshape(batch, -1)
        return (torch.gather(source_points[..., 2].float(), 1, corners).reshape(batch, -1, 3) * weights).sum(-1)

    own = depth(index.reshape(batch, -1), barycentric.reshape(batch, -1, 3))
    at = torch.gather(source_barycentric.reshape(batch, -1, 3), 1, flat.unsqueeze(-1).expand(-1, -1, 3))
    clear = (there < 0) | (own - depth(there, at) <= slack)
    a, b, c = (source_points[:, triangles[:, i], :2] for i in range(3))
    one, two = b - a, c - a
    facing = one[..., 0] * two[..., 1] > one[..., 1] * two[..., 0]
    facing = torch.gather(facing, 1, index.clamp(min=0).reshape(batch, -1))
    return inside & within & (clear & facing).reshape(index.shape)


def facing_camera(points: Array, triangles: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which triangles face the camera, ``bool [T]``."""
    a, b, c = np.moveaxis(np.asarray(points)[triangles][..., :2].astype(np.float64), 1, 0)
    one, two = b - a, c - a
    return np.asarray(one[:, 0] * two[:, 1] > one[:, 1] * two[:, 0])
