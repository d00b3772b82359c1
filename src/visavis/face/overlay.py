"""Skin of a source picture carried over by the mesh at full resolution, to be laid over a rendered picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_SUB_PIXEL_BITS = 4
_LEAST_AREA = 1e-3


@dataclass(frozen=True)
class Patch:
    """What is laid over one part of a face.

    Attributes:
        left, top: its corner in pixels.
        picture: ``float32 [h, w, 3]`` in [0, 1].
        weight: ``float32 [h, w, 1]`` in [0, 1], how much it counts.
    """

    left: int
    top: int
    picture: Array
    weight: Array


def carried(
    picture: Array, source: Array, target: Array, triangles: NDArray[np.int64], *, strength: float, soft_px: float
) -> Patch | None:
    """Carry the skin between points over to where the points go.

    Args:
        picture: of the source, ``float32 [S, S, 3]``.
        source, target: points ``[N, 2]`` in pixels.
        triangles: ``[T, 3]`` of them.
        strength: weight of the patch, where it counts most.
        soft_px: pixels over which it fades out towards all its edges.

    Returns:
        The patch; None where it lies outside the picture.
    """
    side = picture.shape[0]
    left, top = np.clip(np.floor(target.min(0)).astype(int) - 1, 0, side)
    right, bottom = np.clip(np.ceil(target.max(0)).astype(int) + 2, 0, side)
    if right <= left or bottom <= top:
        return None
    at, inside = places(source, target - (left, top), triangles, (int(bottom - top), int(right - left)))
    skin = cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Patch(int(left), int(top), skin, strength * _fading(inside, soft_px)[..., None])


def smooth_step(share: float) -> float:
    """0 up to 0, 1 from 1 on, and no corner between."""
    share = float(np.clip(share, 0, 1))
    return share * share * (3 - 2 * share)


def _fading(inside: NDArray[np.uint8], soft_px: float) -> Array:
    far = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(np.clip(far / soft_px, 0, 1), np.float32)


def places(
    source: Array, target: Array, triangles: NDArray[np.int64], size: tuple[int, int]
) -> tuple[Array, NDArray[np.uint8]]:
    """Where each pixel of the target's triangles lies in the source.

    Triangles that the target turns over are left out: there the skin faces away from the camera.

    Returns:
        Places ``float32 [h, w, 2]`` as for OpenCV's remap, and ``uint8 [h, w]``, 1 where there are any.
    """
    to, of = target[triangles].astype(np.float64), source[triangles].astype(np.float64)
    kept = (_areas(to) * _areas(of) > 0) & (np.abs(_areas(to)) > _LEAST_AREA)
    to, of = to[kept], of[kept]
    if not len(to):
        return np.zeros((*size, 2), np.float32), np.zeros(size, np.uint8)
    numbers = np.full(size, -1, np.int32)
    corners = np.rint(to * 2**_SUB_PIXEL_BITS).astype(np.int32)
    for number, corner in enumerate(corners):
        cv2.fillConvexPoly(numbers, corner, number, shift=_SUB_PIXEL_BITS)
    # Of each triangle the affine map [3, 2] with (x, y, 1) @ map = place.
    maps = np.linalg.solve(np.concatenate([to, np.ones((len(to), 3, 1))], 2), of)
    rows, columns = np.mgrid[: size[0], : size[1]]
    here = np.stack([columns, rows, np.ones_like(rows)], -1).astype(np.float64)
    places = (here[..., None, :] @ maps[numbers])[..., 0, :]
    return places.astype(np.float32), (numbers >= 0).astype(np.uint8)


def _areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the signed areas of triangles ``[T, 3, 2]``."""
    (ax, ay), (bx, by), (cx, cy) = corners.transpose(1, 2, 0)
    return np.asarray((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
