"""Lips that close: the source's own lips laid over a rendered picture where an open mouth shuts.

A dense motion at a quarter of the picture's side cannot bring the lips of an open mouth quite together: a thin line of
teeth stays between them. Here the ring of the lips is carried from the source picture by the mesh itself, at full
resolution, so that lips that meet in the mesh meet in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LIPS_INNER, LIPS_OUTER, to_pixels
from visavis.face.overlay import Array, Patch, carried, smooth_step

_AROUND = len(LIPS_INNER)
_RING = np.array(LIPS_INNER + LIPS_OUTER)
_UPPER, _LOWER, _CORNERS = slice(1, 10), slice(19, 10, -1), (0, 10)

#: Gaps of the inner lips over the mouth's width: below the first the lips lie over the picture alone, from the second
#: on not at all, and a source whose own gap is below the third has nothing to hide.
_SHUT, _APART, _OPEN = 0.02, 0.10, 0.08
_INSET = 0.25  # of the way from the inner edge to the outer: nearer the edge a picture shows teeth as often as lip
_SOFT = 2.0  # pixels of a 256x256 picture over which the lips fade into their surroundings


# How much darker the line between closed lips is, in red, green and blue, and its softness at 256x256.
_SHADE, _SEAM_PX = np.array([0.22, 0.36, 0.34], np.float32), 0.8
_SUB_PIXEL_BITS = 4


def _triangles() -> NDArray[np.int64]:
    """Corners ``[T, 3]`` in the two rings, inner first."""
    found = []
    for at in range(_AROUND):
        after = (at + 1) % _AROUND
        found += [(at, after, at + _AROUND), (after, after + _AROUND, at + _AROUND)]
    return np.array(found)


_TRIANGLES = _triangles()


class Lips:
    """The lips of one source picture.

    Args:
        picture: ``uint8 [S, S, 3]``.
        mesh: of the face in it, ``float32 [478, 3]`` in [-1, 1].
    """

    def __init__(self, picture: NDArray[np.uint8], mesh: Array) -> None:
        self._picture = picture.astype(np.float32) / 255
        self._size = picture.shape[0]
        points = to_pixels(mesh, self._size)[_RING]
        self._open = smooth_step(_gap(points) / _OPEN - 1)
        inner, outer = points[:_AROUND], points[_AROUND:]
        self._points = np.concatenate([inner + _INSET * (outer - inner), outer])

    def patches(self, mesh: Array) -> Iterator[Patch]:
        """What to lay over a picture of this person with that mesh ``[478, 3]``; nothing for mouths that stay open."""
        points = to_pixels(mesh, self._size)[_RING]
        if not self._open or not np.isfinite(points).all():
            return
        strength = self._open * smooth_step((_APART - _gap(points)) / (_APART - _SHUT))
        if strength > 0:
            soft = _SOFT * self._size / 256
            patch = carried(self._picture, self._points, points, _TRIANGLES, strength=strength, soft_px=soft)
            if patch is not None:
                yield self._with_seam(patch, points)

    def _with_seam(self, patch: Patch, points: Array) -> Patch:
        """Where lips meet they shade each other; the lips of an open mouth show no such line."""
        line = np.rint((points[:_AROUND] - (patch.left, patch.top)) * 2**_SUB_PIXEL_BITS).astype(np.int32)
        seam = np.zeros(patch.picture.shape[:2], np.float32)
        cv2.polylines(seam, [line], True, 1.0, 1, cv2.LINE_8, _SUB_PIXEL_BITS)
        seam = cv2.GaussianBlur(seam, (0, 0), _SEAM_PX * self._size / 256)
        shade = 1 - _SHADE * (seam / max(float(seam.max()), 1e-6))[..., None]
        return replace(patch, picture=patch.picture * shade)


def _gap(points: Array) -> float:
    """Mean distance of the inner lips over the width of the mouth."""
    gap = np.linalg.norm(points[_UPPER] - points[_LOWER], axis=1).mean()
    return float(gap / max(np.linalg.norm(points[_CORNERS[0]] - points[_CORNERS[1]]), 1e-6))
