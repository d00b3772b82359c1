"""Landmark distance by the MediaPipe mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LIPS

_FACE_POINTS = 468
_REFERENCE_SIZE = 256


def landmark_distance(made: NDArray[np.float32], real: NDArray[np.float32], size: int) -> tuple[float, float]:
    """Mean Euclidean distance in pixels at 256x256: of all 468 face points, and of the lips.

    Args:
        made, real: meshes ``float32 [478, 3]`` in pixels.
        size: side of the pictures they were found in.
    """
    distance = np.linalg.norm(made[:_FACE_POINTS, :2] - real[:_FACE_POINTS, :2], axis=1) * (_REFERENCE_SIZE / size)
    return float(distance.mean()), float(distance[list(LIPS)].mean())
