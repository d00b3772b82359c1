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
    lab = cv2.cvtColor(cut, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.resize(lab, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float32)


def unlikeness(one: Looks, other: Looks) -> float:
    """Mean distance of two looks, to be compared with :data:`ALIKE`."""
    return float(np.sqrt(np.square(one - other).sum(-1)).mean())
