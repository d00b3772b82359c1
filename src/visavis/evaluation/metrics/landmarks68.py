"""Landmark distance by dlib's 68 points: an eye that has nothing to do with the mesh that drives avfr-256.

dlib finds faces by gradients and places points by a cascade of regression trees (Kazemi and Sullivan 2014), trained on
the 300-W pictures. Neither is a network of ours, nor MediaPipe's.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.metrics.dlib_network import dlib_module, load_dlib
from visavis.media.frame import Pixels

FILE = "shape_predictor_68_face_landmarks.dat"
POINTS = 68
MOUTH = tuple(range(48, 68))
_REFERENCE_SIZE = 256
_SIDE = 768  # dlib rounds points to whole pixels: of such a picture, a third of one at 256

Points = NDArray[np.float64]


class Landmarks68:
    """dlib's face detector and its predictor of 68 landmarks.

    Args:
        path: :data:`FILE`.

    Raises:
        WeightsError: dlib is not installed, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._predictor = load_dlib("shape_predictor", path, "dlib's predictor of 68 landmarks")
        self._dlib = dlib_module()
        self._detector = self._dlib.get_frontal_face_detector()

    def find(self, picture: Pixels) -> Points | None:
        """Points ``float64 [68, 2]`` of the largest face, in pixels from edges; None when no face is seen.

        Args:
            picture: ``uint8 [S, S, 3]`` RGB.
        """
        faces = self._detector(np.ascontiguousarray(picture), 0)
        if not faces:
            return None
        face = max(faces, key=lambda box: box.area())
        scale = _SIDE / picture.shape[0]
        large = np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
        sides = (round(scale * side) for side in (face.left(), face.top(), face.right(), face.bottom()))
        found = self._predictor(large, self._dlib.rectangle(*sides))
        return np.array([(point.x + 0.5, point.y + 0.5) for point in found.parts()], np.float64) / scale


@lru_cache(maxsize=2)
def load_landmarks68(path: Path) -> Landmarks68:
    """The predictor of a file, read once a process: it has a hundred megabytes."""
    return Landmarks68(path)


def landmark_distance68(made: Points, real: Points, size: int) -> tuple[float, float]:
    """Mean Euclidean distance in pixels at 256x256: of all 68 points, and of the mouth's 20.

    Args:
        made, real: points ``[68, 2]`` in pixels.
        size: side of the pictures they were found in.
    """
    distance = np.linalg.norm(made - real, axis=1) * (_REFERENCE_SIZE / size)
    return float(distance.mean()), float(distance[list(MOUTH)].mean())
