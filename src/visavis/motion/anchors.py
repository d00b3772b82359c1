"""Keypoints carried along by the mesh, so that both say the same of a face.

A keypoint on the face moves, and its frame turns, as the mesh around it does: by the affine map that fits the mesh
there best. A keypoint off the face (hair, shoulders) is not the mesh's to move.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.types import SKIN_POINTS

Array = NDArray[np.float64]
_REACH = 0.15  # standard deviation of a keypoint's surroundings, in [-1, 1] over the crop
_OFF = 0.12  # a keypoint so far from the mesh belongs to it by 0.6


class Anchors:
    """Ties the keypoints of one picture to its mesh.

    Args:
        points: keypoints of the picture ``float32 [K, 2]``.
        mesh: ``[478, 2 or 3]`` of the picture, in [-1, 1].

    Attributes:
        held: ``float32 [K, 1]``, how far each keypoint belongs to the mesh, 0 to 1.
    """

    def __init__(self, points: NDArray[np.float32], mesh: NDArray[np.float32]) -> None:
        own = points.astype(np.float64)
        skin = mesh[:SKIN_POINTS, :2].astype(np.float64)
        squares = np.square(own[:, None] - skin).sum(-1)
        nearest = squares.min(1)
        weights = np.exp((nearest[:, None] - squares) / (2 * _REACH**2))
        weights /= weights.sum(1, keepdims=True)
        self.held = np.exp(-0.5 * nearest / _OFF**2).astype(np.float32)[:, None]
        self._weights, self._points = weights, own
        self._centres = weights @ skin
        local = skin - self._centres[:, None]
        spread = np.einsum("kn,kni,knj->kij", weights, local, local)
        # Where the mesh lies thin, as at a point beside the face, it says little of stretching across.
        spread += 1e-2 * np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(2)
        self._fit = np.einsum("kn,kni,kij->knj", weights, local, np.linalg.inv(spread))
        self._skin = skin

    def __call__(self, mesh: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where a moved mesh ``[478, 2 or 3]`` takes the keypoints.

        Returns:
            Points ``float32 [K, 2]``, and the affine maps ``float32 [K, 2, 2]`` of their surroundings.
        """
        change = mesh[:SKIN_POINTS, :2].astype(np.float64) - self._skin
        maps = np.eye(2) + np.einsum("ni,knj->kij", change, self._fit)
        moved = self._centres + self._weights @ change
        points = moved + np.einsum("kij,kj->ki", maps, self._points - self._centres)
        return points.astype(np.float32), maps.astype(np.float32)
