"""The head's angles, read off rigid points of the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import EYES_APART
from visavis.face.morphable import rigid_weights

_BROW_TO_NOSE = (10, 2)
#: From the face's right side to its left: outer and inner corners of the eyes, temples, and before the ears. Corners of
#: eyes alone are read a degree askew where a mouth opens.
_ACROSS = np.array([EYES_APART, (133, 362), (127, 356), (234, 454)])
_WEIGHT = (rigid_weights() / rigid_weights().sum())[:, None]


@dataclass(frozen=True, slots=True)
class HeadAngles:
    """How a head is turned, in degrees.

    Attributes:
        yaw: positive when the side of the face that is on the right in the picture goes away from the camera.
        pitch: positive when the chin goes away from the camera. Its zero depends on the person; differences count.
        roll: positive clockwise, as the picture shows it.
    """

    yaw: float
    pitch: float
    roll: float

    def apart(self, other: HeadAngles) -> tuple[float, float, float]:
        """Degrees of ``(yaw, pitch, roll)`` between two heads, none negative."""
        return abs(self.yaw - other.yaw), abs(self.pitch - other.pitch), abs(self.roll - other.roll)


def head_angles(mesh: NDArray[np.float32]) -> HeadAngles:
    """Angles of a mesh ``float32 [478, 3]``, in pixels or crop coordinates alike."""
    sides = mesh[_ACROSS].astype(np.float64).mean(0)
    top, bottom = mesh[list(_BROW_TO_NOSE)].astype(np.float64)
    across = _unit(sides[1] - sides[0])
    down = bottom - top
    down = _unit(down - (down @ across) * across)
    return HeadAngles(
        yaw=float(np.degrees(np.arcsin(across[2]))),
        pitch=float(np.degrees(np.arcsin(down[2]))),
        roll=float(np.degrees(np.arctan2(across[1], across[0]))),
    )


def pose_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far two meshes ``[478, 3]`` differ once place and size are taken out; 0 is the same pose.

    Lips, lids and jaw count next to nothing: what they do is not pose.
    """
    weight = _WEIGHT

    def normal(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = mesh - (weight * mesh).sum(0)
        return np.asarray(centred / np.sqrt((weight * centred**2).sum() + 1e-12), np.float32)

    return float((weight * (normal(one) - normal(other)) ** 2).sum())


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
