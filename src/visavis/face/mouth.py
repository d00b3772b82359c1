"""The mouth as lip-sync networks see it: a level grey crop, and the shape of the lips in the face's own frame.

Both are freed of where the head is, how large it is and how far it is tilted, by a frame that is fixed to the points
of the eyes and the nose, which speech does not move.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LIPS
from visavis.media.frame import Pixels

CROP_SIZE = (32, 48)
#: What is kept around a crop in training, so that it can be shifted.
CROP_MARGIN = 3

_EYE_CORNERS = (33, 133, 362, 263)  # from the right eye's outer corner to the left eye's
_STILL = _EYE_CORNERS + (168, 6, 197, 195, 5, 4, 2, 98, 327)
_CHIN = (152, 148, 377, 176, 400, 150, 379, 199, 200)
_CHEEKS = (205, 425, 50, 280, 214, 434)
_TALKING = LIPS + _CHIN + _CHEEKS
#: Numbers of a mouth's shape: x and y of each talking point.
SHAPE_VALUES = 2 * len(_TALKING)


def _mirror() -> tuple[int, ...]:
    """Where each talking point's mirror image stands in the list."""
    ring = [(10 - i) % 20 for i in range(20)]  # both lip rings start at a corner; the other corner is number 10
    chin = [0, 2, 1, 4, 3, 6, 5, 7, 8]
    cheeks = [1, 0, 3, 2, 5, 4]
    parts = (ring, ring, chin, cheeks)
    starts = np.cumsum([0, *(len(part) for part in parts)])
    return tuple(int(start + i) for start, part in zip(starts, parts, strict=False) for i in part)


_MIRROR = _mirror()
_OVERSAMPLED = 2  # then averaged, so that fine detail does not shimmer
_CROP_UNITS = 2.4  # width of the crop; a closed mouth is about 1.4 units wide


@dataclass(frozen=True)
class FaceFrame:
    """A level frame fixed to the eyes and the nose.

    Attributes:
        origin: ``[2]``, the middle of the still points in pixels.
        across: ``[2]``, unit vector from the right eye to the left eye (to the right in the picture).
        unit: root mean square distance of the still points from the origin, in pixels.
    """

    origin: NDArray[np.float32]
    across: NDArray[np.float32]
    unit: float

    @classmethod
    def of(cls, points: NDArray[np.float32]) -> FaceFrame:
        """Fit the frame to one mesh ``float32 [478, 2 or 3]`` in pixels."""
        still = points[list(_STILL), :2]
        origin = still.mean(0)
        right, left = points[list(_EYE_CORNERS[:2]), :2].mean(0), points[list(_EYE_CORNERS[2:]), :2].mean(0)
        across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
        unit = float(np.sqrt(((still - origin) ** 2).sum(1).mean()))
        return cls(origin, across.astype(np.float32), max(unit, 1e-6))

    @property
    def axes(self) -> NDArray[np.float32]:
        """Rows are the frame's x and y as unit vectors of the picture."""
        return np.array([self.across, [-self.across[1], self.across[0]]], np.float32)


def mouth_shape(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lips, chin and cheeks in the face's own frame.

    Args:
        points: mesh ``float32 [478, 2 or 3]`` in pixels.

    Returns:
        ``float32 [SHAPE_VALUES]``, in units of the face's frame.
    """
    frame = FaceFrame.of(points)
    local = (points[list(_TALKING), :2] - frame.origin) @ frame.axes.T / frame.unit
    return np.asarray(local.reshape(-1), np.float32)


def mirrored(shapes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the shapes ``[..., SHAPE_VALUES]`` of the same mouths seen in a mirror."""
    points = shapes.reshape(*shapes.shape[:-1], len(_TALKING), 2)
    flipped = points[..., list(_MIRROR), :] * np.array([-1, 1], np.float32)
    return np.asarray(flipped.reshape(shapes.shape), np.float32)


def mouth_crop(picture: Pixels, points: NDArray[np.float32], margin: int = 0) -> NDArray[np.uint8]:
    """Cut the mouth out, level and of one size whatever the face's.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB.
        points: mesh ``float32 [478, 2 or 3]`` in pixels, from the picture's edges.
        margin: pixels more on every side.

    Returns:
        ``uint8 [32 + 2 margin, 48 + 2 margin]``, grey; what lies outside the picture repeats its edge.
    """
    frame = FaceFrame.of(points)
    height, width = CROP_SIZE[0] + 2 * margin, CROP_SIZE[1] + 2 * margin
    fine = (_OVERSAMPLED * width, _OVERSAMPLED * height)
    step = frame.axes.T * (_CROP_UNITS * frame.unit / (_OVERSAMPLED * CROP_SIZE[1]))
    centre = points[list(LIPS), :2].mean(0) - 0.5  # OpenCV counts from pixel centres
    corner = centre - step @ ((np.array(fine, np.float32) - 1) / 2)
    matrix = np.column_stack([step, corner]).astype(np.float64)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(grey, matrix, fine, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
