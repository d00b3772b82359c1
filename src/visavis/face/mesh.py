"""The face mesh as a prior: its index lists, its drawing as one channel, and its control points.

The indices are those of MediaPipe's face mesh with irises (478 points).
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.types import SKIN_POINTS

LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)
RIGHT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
LEFT_IRIS = (474, 475, 476, 477)
RIGHT_IRIS = (469, 470, 471, 472)
NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
NOSTRILS = (115, 48, 64, 98, 97, 2, 326, 327, 294, 278, 344)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = LIPS_OUTER + LIPS_INNER
#: Outer corners of the eyes, left and right in the picture: the usual unit of length in a face.
EYES_APART = (33, 263)
#: Upper and lower inner lip, from the right corner of the mouth to the left; and those in the middle.
LIP_PAIRS = ((191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324))
MIDDLE_LIP_PAIRS = LIP_PAIRS[3:6]
#: Upper and lower lid of each eye, from its outer corner to its inner.
RIGHT_LID_PAIRS = ((161, 163), (160, 144), (159, 145), (158, 153), (157, 154))
LEFT_LID_PAIRS = ((388, 390), (387, 373), (386, 374), (385, 380), (384, 381))

_CLOSED = (LIPS_OUTER, LIPS_INNER, LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, LEFT_IRIS, RIGHT_IRIS, OVAL)
_OPEN = (NOSE, NOSTRILS)

#: Points that carry a thin-plate warp: every lip and lid point, since those move on their own, and a thinner
#: choice of the parts that move with the head.
CONTROL_POINTS: tuple[int, ...] = (
    *LIPS_OUTER,
    *LIPS_INNER,
    *LEFT_EYE[::2],
    *RIGHT_EYE[::2],
    *(386, 374, 159, 145),
    *LEFT_BROW[::2],
    *RIGHT_BROW[::2],
    *(468, 473),
    *OVAL[::2],
    *(168, 197, 4, 2, 98, 327),
    *(50, 280, 205, 425, 151, 199),
)
CONTROL_POINTS = tuple(dict.fromkeys(CONTROL_POINTS))

_SUB_PIXEL_BITS = 4


def contour_edges() -> set[tuple[int, int]]:
    """Pairs of neighbours, smaller number first, along the drawn contours of the face; irises left out."""
    edges = set()
    for curve, closed in [*((part, True) for part in _CLOSED), *((part, False) for part in _OPEN)]:
        ends = (*curve[1:], curve[0]) if closed else curve[1:]
        edges |= {(min(pair), max(pair)) for pair in zip(curve, ends, strict=False) if max(pair) < SKIN_POINTS}
    return edges


def to_pixels(mesh: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Turn points in [-1, 1] (pixel edges) into ``float32 [N, 2]`` pixel-centre coordinates of a ``size`` square."""
    return ((mesh[:, :2] + 1) * (size / 2) - 0.5).astype(np.float32)


def mean_gap(mesh: NDArray[np.float32], pairs: Iterable[tuple[int, int]]) -> float:
    """Mean distance of pairs of points of a mesh ``[478, 2 or 3]``, in its units."""
    return float(np.mean([np.linalg.norm(mesh[a] - mesh[b]) for a, b in pairs]))


def draw_mesh(mesh: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Draw the contours of a mesh as one channel (AVFR-GAN section 3, 'Additional Structural Priors').

    Args:
        mesh: ``float32 [478, 2 or 3]`` in [-1, 1].
        size: side of the drawing in pixels.

    Returns:
        ``uint8 [size, size]``, 255 on the lines.
    """
    canvas = np.zeros((size, size), np.uint8)
    # Far-away points would overflow OpenCV's fixed-point drawing; nothing outside the picture is seen anyway.
    points = np.clip(to_pixels(mesh, size), -size, 2 * size) * (1 << _SUB_PIXEL_BITS)
    points = np.rint(points).astype(np.int32)
    thickness = max(1, size // 128)
    for indices, closed in [(part, True) for part in _CLOSED] + [(part, False) for part in _OPEN]:
        line = points[list(indices)].reshape(-1, 1, 2)
        cv2.polylines(canvas, [line], closed, 255, thickness, cv2.LINE_AA, _SUB_PIXEL_BITS)
    return canvas
