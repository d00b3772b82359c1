"""The 478 points of each face in a picture, by MediaPipe's face mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.face.graph import FaceGraph
from visavis.face.types import Face
from visavis.media.frame import Pixels

#: So many faces are told apart at most.
MOST_FACES = 4
_LEAST_SIDE = 16


class FaceMesher(FaceGraph):
    """Finds faces and their points; keeps its graph between pictures.

    Its detector sees faces from a fifth of the picture's shorter side on; :mod:`visavis.face.search` sees smaller ones.

    Args:
        most: how many faces are looked for. With 1, and ``video``, the detector rests while a face is followed.
        video: whether pictures follow each other in time, so that a face is looked for where it was.
    """

    def __init__(self, most: int, *, video: bool) -> None:
        super().__init__()
        self._most, self._video = most, video

    def _new_graph(self) -> Any:
        from mediapipe.python.solutions.face_mesh import FaceMesh

        return FaceMesh(
            static_image_mode=not self._video,
            max_num_faces=self._most,
            refine_landmarks=True,
            min_detection_confidence=0.5,
            min_tracking_confidence=0.5,
        )

    def faces(self, pixels: Pixels) -> list[Face]:
        """Return the faces in ``uint8 [H, W, 3]``, in pixels of it."""
        height, width = pixels.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return []
        found = self._process(pixels)
        scale = np.array([width, height, width], np.float32)
        return [_to_face(landmarks, scale) for landmarks in found.multi_face_landmarks or []]


def _to_face(landmarks: Any, scale: NDArray[np.float32]) -> Face:
    points = np.array([(p.x, p.y, p.z) for p in landmarks.landmark], np.float32)
    return Face(points * scale)
