"""How well a face can be animated from one picture of it: what is hidden in the source, no network can show.

Closed eyes have no iris to show, closed lips no teeth; a mouth that gapes has its lips stretched thin; what is blurred
stays blurred; what is turned away was never seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import FaceError
from visavis.face.mesh import EYES_APART, MIDDLE_LIP_PAIRS, OVAL, mean_gap
from visavis.face.pose import head_angles
from visavis.face.types import Observation
from visavis.media.frame import Pixels

_LIDS = (((160, 144), (159, 145), (158, 153), (33, 133)), ((385, 380), (386, 374), (387, 373), (362, 263)))

# Over clips of 180 people: lids 0.04 of the eye's width apart are closed, 0.22 is narrow (every fourth frame is
# narrower), 0.45 is wide; lips 0.08 of the eyes' distance apart are usual in speech, 0.2 is wide open.
_LIDS_CLOSED, _LIDS_OPEN, _LIDS_WIDE, _LIDS_STARING = 0.10, 0.24, 0.45, 0.55
_LIPS_PART, _LIPS_OPEN, _LIPS_WIDE, _LIPS_GAPING = 0.02, 0.06, 0.13, 0.26
_SHUT, _MOUTH_CLOSED, _MOUTH_GAPING = 0.05, 0.6, 0.3  # none is 0, so that the rest still counts
_YAW_DEG, _PITCH_DEG, _ROLL_DEG = 18.0, 18.0, 30.0
_USUAL_PITCH_DEG = -9.0  # as this mesh shows a head that looks at the camera
_SIDE = 256
_SHARP = 4.0  # levels of 255


@dataclass(frozen=True, slots=True)
class Readiness:
    """How well each part can be animated, 0 (not at all) to 1.

    Attributes:
        eyes: 1 when both are open.
        mouth: 1 when it is open enough to show its teeth, less when closed, least when it gapes.
        sharpness: of the face, beside a picture that is sharp at 256x256.
        frontal: 1 when the head looks at the camera.
    """

    eyes: float
    mouth: float
    sharpness: float
    frontal: float

    @property
    def total(self) -> float:
        """All in one number, 0 to 1: their product, since one bad part spoils the picture."""
        return self.eyes * self.mouth * self.sharpness * self.frontal


def readiness(observation: Observation) -> Readiness:
    """Judge one observation.

    Args:
        observation: with its mesh; of any size.

    Raises:
        FaceError: it has no mesh.
    """
    mesh = observation.mesh
    if mesh is None:
        raise FaceError("a face is judged by its mesh; this observation was made without")
    return Readiness(
        eyes=min(_eye(mesh, lids) for lids in _LIDS),
        mouth=_mouth(mesh),
        sharpness=_sharpness(observation.picture, mesh),
        frontal=_frontal(mesh),
    )


def _eye(mesh: NDArray[np.float32], lids: tuple[tuple[int, int], ...]) -> float:
    opened = mean_gap(mesh, lids[:3]) / max(mean_gap(mesh, lids[3:]), 1e-6)
    shut, stare = [_LIDS_CLOSED, _LIDS_OPEN], [_LIDS_WIDE, _LIDS_STARING]
    return float(np.interp(opened, shut + stare, [_SHUT, 1, 1, 0.5]))


def _mouth(mesh: NDArray[np.float32]) -> float:
    opened = mean_gap(mesh, MIDDLE_LIP_PAIRS) / max(mean_gap(mesh, (EYES_APART,)), 1e-6)
    steps = [_LIPS_PART, _LIPS_OPEN, _LIPS_WIDE, _LIPS_GAPING]
    return float(np.interp(opened, steps, [_MOUTH_CLOSED, 1, 1, _MOUTH_GAPING]))


def _sharpness(picture: Pixels, mesh: NDArray[np.float32]) -> float:
    """Root mean square of luma's Laplacian inside the face, saturating."""
    if picture.shape[0] != _SIDE:
        picture = np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    edges = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F)
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    outline = (mesh[list(OVAL), :2] + 1) * (_SIDE / 2) - 0.5
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(outline).astype(np.int32)), 1)
    inside = np.asarray(edges[mask > 0], np.float64)
    found = float(np.sqrt((inside**2).mean())) if inside.size else 0.0
    return found / (found + _SHARP)


def _frontal(mesh: NDArray[np.float32]) -> float:
    head = head_angles(mesh)
    turned = (head.yaw / _YAW_DEG, (head.pitch - _USUAL_PITCH_DEG) / _PITCH_DEG, head.roll / _ROLL_DEG)
    return float(np.exp(-0.5 * sum(value * value for value in turned)))
