"""The lower face in a crop: mouth, cheeks beside it, jaw and chin, as a soft part to lay over a frame."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import to_pixels
from visavis.face.types import SKIN_POINTS

Array = NDArray[np.float32]

#: Over the crop's side: how far the part reaches beyond the jaw, and how softly it ends.
_BEYOND, _SOFT = 0.012, 0.02
_SUB_PIXEL_BITS = 4


def lower_face(meshes: Iterable[Array], share: Array, size: int) -> Array:
    """Where one or more meshes have their lower face.

    Args:
        meshes: ``float32 [478, 3]`` each in [-1, 1] over the crop; what any of them covers is in the part.
        share: ``float32 [468]``, how far each point belongs to the lower face; from a half on it does.
        size: side of the crop.

    Returns:
        ``float32 [size, size]``: 1 inside, 0 from a few pixels outside on, soft between.
    """
    inside = np.flatnonzero(share >= 0.5)
    drawn = np.zeros((size, size), np.uint8)
    for mesh in meshes:
        points = to_pixels(mesh[:SKIN_POINTS][inside], size)
        if not np.isfinite(points).all():
            continue
        hull = cv2.convexHull(np.clip(points, -size, 2 * size).astype(np.float32))
        cv2.fillConvexPoly(drawn, np.rint(hull * 2**_SUB_PIXEL_BITS).astype(np.int32), 255, cv2.LINE_8, _SUB_PIXEL_BITS)
    reach = 2 * round(_BEYOND * size) + 1
    wide = cv2.dilate(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    soft = cv2.GaussianBlur(wide.astype(np.float32) / 255, (0, 0), _SOFT * size)
    # A Gaussian never ends, and what is beyond has to stay to the last bit.
    faded = np.clip((soft - 0.02) / 0.96, 0, 1)
    return np.asarray(faded * faded * (3 - 2 * faded), np.float32)
