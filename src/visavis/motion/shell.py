"""Keypoints beside the face, in hair and on the head's outline, that go with the head: as points of a shell around it.

A head that turns shows more of its back on one side: what lies behind the face moves the other way. Over 6,648 pairs of
frames of 83 people in training clips the mesh's camera alone tells where such keypoints of avfr-256 go, by 0.95 of
their variance across and 0.76 along the picture's height. A driver's own hair tells no more of a source's, and what he
wears on it moves them elsewhere.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.motion import camera
from visavis.motion.limits import softened

Array = NDArray[np.float32]
# Lengths in units of the face's scale. A free fit to those pairs has 1.6 and 1.0, and 0.95 of the head's roll; they
# are lower by what pictures bear: outlines that go farther than the network has learned come apart.
_DEPTH = np.array([1.3, 1.0])  # behind the face's middle: across, as a head turns, and along, as it nods
_TILT, _GROWTH = 0.5, 0.5  # shares of the head's roll and of its change of size
# Where such keypoints are: down to the chin, and not farther off than hair reaches.
_CHIN, _BELOW, _HAIR, _BEYOND = 1.0, 1.8, 3.2, 4.0
_LEAST_ROOM = 0.12  # at the picture's upper edge, in [-1, 1]


class Shell:
    """Ties the keypoints of one picture to its head.

    Args:
        points: keypoints of the picture ``float32 [K, 2]``, in [-1, 1].
        head: ``[6]``, camera of its mesh.

    Attributes:
        held: ``float32 [K, 1]``, how far each keypoint belongs to the head, 0 to 1; those on the face do, too.
    """

    def __init__(self, points: Array, head: NDArray[np.float64]) -> None:
        self._points, self._head = points.astype(np.float64), head.astype(np.float64)
        self._local = (self._points - head[:2]) / np.exp(head[2])
        upright = self._local @ camera.rotation(head)[:2, :2]
        near = np.interp(np.linalg.norm(upright, axis=1), [_HAIR, _BEYOND], [1, 0])
        above = np.interp(upright[:, 1], [_CHIN, _BELOW], [1, 0])
        self.held = (near * above).astype(np.float32)[:, None]

    def __call__(self, moved: NDArray[np.float64]) -> tuple[Array, Array]:
        """Where a moved head ``[6]`` takes the keypoints.

        Returns:
            Points ``float32 [K, 2]``, and the map ``float32 [2, 2]`` of their surroundings.
        """
        turn = camera.rotation(moved) @ camera.rotation(self._head).T
        nod, yaw, roll = cv2.Rodrigues(turn)[0][:, 0]
        grown = float(np.exp(_GROWTH * (moved[2] - self._head[2])))
        cos, sin = np.cos(_TILT * roll), np.sin(_TILT * roll)
        frame = grown * np.array([[cos, -sin], [sin, cos]])
        behind = _DEPTH * np.sin([yaw, -nod])
        points = moved[:2] + np.exp(self._head[2]) * (self._local @ frame.T + behind)
        points[:, 1] = [self._kept(*both) for both in zip(self._points[:, 1], points[:, 1], strict=True)]
        return points.astype(np.float32), frame.astype(np.float32)

    @staticmethod
    def _kept(own: float, moved: float) -> float:
        """What the upper edge cuts off cannot come into view: a point near it goes down by little."""
        room = max(1 + own, _LEAST_ROOM)
        return moved if moved <= own else own + softened(moved - own, room / 2, room)
