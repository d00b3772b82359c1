"""How a face looks, in few numbers: colours of skin, hair, eyes and mouth, to tell people in one video apart.

This is no recognition of persons: it says whether the face that comes back looks like the one that was lost.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.types import Face
from visavis.media.frame import Pixels

_CELLS = 8
_ACROSS = 2.9  # side of the square, in distances from the eyes to the mouth; hair and chin are in it
_EYES, _MOUTH = (468, 473), (61, 291)  # irises; corners of the mouth

#: Mean distances in Lab (of 255 a channel) between looks. Of one person in a clip, nine in ten are below 24; of two
#: persons, nineteen in twenty above 35.
ALIKE = 28.0

Looks = NDArray[np.float32]

#: From linear RGB (ITU-R BT.709) to CIE XYZ.
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])


def looks_of(pixels: Pixels, face: Face) -> Looks:
    """Return ``float32 [8, 8, 3]``: mean colours (Lab) over an upright square around eyes and mouth."""
    points = face.mesh[:, :2]
    eyes, mouth = points[list(_EYES)].mean(0), points[list(_MOUTH)].mean(0)
    down = mouth - eyes
    length = max(float(np.linalg.norm(down)), 1.0)
    down = down / length
    side = _ACROSS * length
    fine = 4 * _CELLS
    step = side / fine
    axes = np.stack([np.array([down[1], -down[0]]), down], 1) * step
    corner = (eyes + mouth) / 2 - axes @ np.full(2, (fine - 1) / 2)
    matrix = np.concatenate([axes, corner[:, None]], 1).astype(np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(pixels, matrix, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(_lab(cut), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _lab(pixels: Pixels) -> Looks:
    """CIE L*a*b* of sRGB under D65, each channel to 255 as OpenCV has it, which first fills tables for 90 ms."""
    light = np.arange(256) / 255
    linear = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)[pixels]
    parts = linear @ (_XYZ / _XYZ.sum(1, keepdims=True)).T  # of white's
    x, y, z = np.moveaxis(np.where(parts > 0.008856, np.cbrt(parts), 7.787 * parts + 16 / 116), -1, 0)
    return np.stack([2.55 * (116 * y - 16), 500 * (x - y) + 128, 200 * (y - z) + 128], -1).astype(np.float32)


def unlikeness(one: Looks, other: Looks) -> float:
    """Mean distance of two looks, to be compared with :data:`ALIKE`."""
    return float(np.sqrt(np.square(one - other).sum(-1)).mean())
