"""Eyes that close: the skin between the lids' crease and the brow laid over a rendered picture, triangle by triangle.

A dense motion at a quarter of the picture's side has two cells for an eye. When its lids close over them, the white of
the eye stays where skin ought to be, and comes out as a grey patch under the brow. Here that skin is carried from the
source picture by the mesh itself, at full resolution. The lid below its crease is left to the network: stretched over
an eye, a lid's few pixels would show lashes as long as the eye is high.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LEFT_EYE, RIGHT_EYE, to_pixels
from visavis.face.overlay import Patch, carried, smooth_step

Array = NDArray[np.float32]

# Rings of points around each eye, from the lids' edge outwards, all in the order of the first; the last two go over the
# brow and stay where they are below the eye. Skin is laid over from the second ring on.
_RIGHT = (
    RIGHT_EYE,
    (130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247),
    (226, 31, 228, 229, 230, 231, 232, 233, 244, 189, 221, 222, 223, 224, 225, 113),
    (226, 31, 228, 229, 230, 231, 232, 233, 244, 193, 55, 65, 52, 53, 46, 124),
    (226, 31, 228, 229, 230, 231, 232, 233, 244, 193, 107, 66, 105, 63, 70, 156),
)
_LEFT = (
    LEFT_EYE,
    (359, 255, 339, 254, 253, 252, 256, 341, 463, 414, 286, 258, 257, 259, 260, 467),
    (446, 261, 448, 449, 450, 451, 452, 453, 464, 413, 441, 442, 443, 444, 445, 342),
    (446, 261, 448, 449, 450, 451, 452, 453, 464, 417, 285, 295, 282, 283, 276, 353),
    (446, 261, 448, 449, 450, 451, 452, 453, 464, 417, 336, 296, 334, 293, 300, 383),
)
_AROUND = len(RIGHT_EYE)
_CORNERS, _UPPER, _LOWER = (0, 8), slice(9, 16), slice(7, 0, -1)

# Shares of the source's own opening: from the first on skin is laid over, from the second on alone.
_BEGINS, _WHOLE = 0.95, 0.6
_LEAST_OPENING = 0.08  # of the eye's width: an eye that is closed in the source shows no more than it has
_SOFT = 4.0  # pixels of a 256x256 picture over which the skin fades into its surroundings


def _triangles() -> NDArray[np.int64]:
    """Corners ``[T, 3]`` in an eye's rings, laid one after another."""
    found = []
    for ring in range(1, len(_RIGHT) - 1):
        for at in range(_AROUND):
            inner, after = ring * _AROUND + at, ring * _AROUND + (at + 1) % _AROUND
            found += [(inner, after, inner + _AROUND), (after, after + _AROUND, inner + _AROUND)]
    return np.array(found)


_TRIANGLES = _triangles()
_EYES = tuple(np.array([point for ring in rings for point in ring]) for rings in (_RIGHT, _LEFT))


class Lids:
    """The skin around the eyes of one source picture.

    Args:
        picture: ``uint8 [S, S, 3]``.
        mesh: of the face in it, ``float32 [478, 3]`` in [-1, 1].
    """

    def __init__(self, picture: NDArray[np.uint8], mesh: Array) -> None:
        self._picture = picture.astype(np.float32) / 255
        self._size = picture.shape[0]
        points = to_pixels(mesh, self._size)
        self._points = [points[eye] for eye in _EYES]
        self._openings = [_opening(points) for points in self._points]

    def patches(self, mesh: Array) -> Iterator[Patch]:
        """What to lay over a picture of this person with that mesh ``[478, 3]``; nothing for eyes that stay open."""
        target = to_pixels(mesh, self._size)
        for eye, source, opening in zip(_EYES, self._points, self._openings, strict=True):
            points = target[eye]
            closing = _closing(_opening(points), opening) if np.isfinite(points).all() else 0.0
            if closing > 0:
                soft = _SOFT * self._size / 256
                patch = carried(self._picture, source, points, _TRIANGLES, strength=closing, soft_px=soft)
                if patch is not None:
                    yield patch


def _opening(points: Array) -> float:
    """Mean distance of upper and lower lid over the distance of the eye's corners."""
    gap = np.linalg.norm(points[_UPPER] - points[_LOWER], axis=1).mean()
    return float(gap / max(np.linalg.norm(points[_CORNERS[0]] - points[_CORNERS[1]]), 1e-6))


def _closing(opening: float, source: float) -> float:
    """How much the skin counts, 0 to 1, smooth in the opening so that a blink fades in."""
    if source < _LEAST_OPENING:
        return 0.0
    return smooth_step((_BEGINS - opening / source) / (_BEGINS - _WHOLE))
