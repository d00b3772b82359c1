"""One face through time, by MediaPipe's face mesh.

MediaPipe stays behind this file and :mod:`visavis.face.segmentation`, so that it can be replaced.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.core.closing import Closing
from visavis.core.errors import FaceError
from visavis.face.quiet import quiet_native_logs
from visavis.face.types import Face
from visavis.media.frame import Pixels

_MOST_FACES = 4


class FaceTracker(Closing):
    """Finds one face in each frame and stays with it.

    The face is chosen in the first frame that shows one: the largest, or the ``which``-th largest. From then on
    the face nearest to the last known place is followed. With a single face in view only one is looked for,
    which saves a detector run on every frame.

    Args:
        which: 0 for the largest face, 1 for the next, at most 3.
        video: True follows a face through consecutive frames; False treats each picture alone.
    """

    def __init__(self, which: int = 0, *, video: bool = True) -> None:
        if not 0 <= which < _MOST_FACES:
            raise FaceError(f"face {which} was asked for; choose 0 (the largest) to {_MOST_FACES - 1}")
        self._which = which
        self._video = video
        self._graphs: dict[int, Any] = {}
        self._calls: dict[int, int] = {}
        self._last: Face | None = None
        self._faces_in_view = _MOST_FACES

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()

    def find(self, pixels: Pixels) -> Face | None:
        """Return the followed face in one RGB frame ``uint8 [H, W, 3]``, or None when it is not seen."""
        faces = self._detect(pixels, self._faces_in_view)
        if not faces and self._faces_in_view == 1:
            self._faces_in_view = _MOST_FACES
            faces = self._detect(pixels, _MOST_FACES)
        face = self._choose(faces)
        if face is not None:
            self._last = face
            if len(faces) == 1 and self._which == 0:
                self._faces_in_view = 1
        return face

    def _choose(self, faces: list[Face]) -> Face | None:
        if not faces:
            return None
        if self._last is not None and self._video:
            centre = self._last.mesh[:, :2].mean(0)
            reach = _side(self._last) * 2
            near = min(faces, key=lambda face: float(np.linalg.norm(face.mesh[:, :2].mean(0) - centre)))
            # Another person must not take over while the followed one is out of view.
            moved = float(np.linalg.norm(near.mesh[:, :2].mean(0) - centre))
            return near if moved < reach else None
        if self._which >= len(faces):
            return None
        return sorted(faces, key=_side, reverse=True)[self._which]

    def _detect(self, pixels: Pixels, most: int) -> list[Face]:
        height, width = pixels.shape[:2]
        if min(height, width) < 16:
            return []
        self._calls[most] = self._calls.get(most, -1) + 1
        with quiet_native_logs(self._calls[most]):
            found = self._graph(most).process(np.ascontiguousarray(pixels))
        scale = np.array([width, height, width], np.float32)
        return [_to_face(landmarks, scale) for landmarks in found.multi_face_landmarks or []]

    def _graph(self, most: int) -> Any:
        if most not in self._graphs:
            from mediapipe.python.solutions.face_mesh import FaceMesh

            self._graphs[most] = FaceMesh(
                static_image_mode=not self._video,
                max_num_faces=most,
                refine_landmarks=True,
                min_detection_confidence=0.5,
                min_tracking_confidence=0.5,
            )
        return self._graphs[most]


def _to_face(landmarks: Any, scale: NDArray[np.float32]) -> Face:
    points = np.array([(p.x, p.y, p.z) for p in landmarks.landmark], np.float32)
    return Face(points * scale)


def _side(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)
