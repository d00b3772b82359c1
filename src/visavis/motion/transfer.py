"""From the driving person's motion to the source person's.

Mesh values are ordered ``tx, ty, log scale, rotation vector (3), shape coefficients``
(:mod:`visavis.face.morphable`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from visavis.motion.types import KeypointMotion
from visavis.nn.dense_motion import inverse_2x2

_CAMERA = 6
_SCALE_RANGE = (0.5, 2.0)


class Mode(str, Enum):
    """How driving motion is carried over.

    ``relative`` adds the change since a start frame to the source's own pose, so that the source keeps its place,
    size and facial shape; ``absolute`` takes the driving person's pose and shape as they are.
    """

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


@dataclass(frozen=True)
class Transfer:
    """Carries driving motions over to one source.

    Attributes:
        source: motion of the source picture.
        start: motion of the driving frame that shows the source's pose best.
        mode: relative or absolute.
    """

    source: KeypointMotion
    start: KeypointMotion
    mode: Mode = Mode.RELATIVE

    def __call__(self, driving: KeypointMotion) -> KeypointMotion:
        """Return the motion to render the source with (first order model, section 3.3, for the keypoints)."""
        if self.mode is Mode.ABSOLUTE:
            return driving
        source, start = self.source, self.start
        scale = face_scale(source, start)
        points = source.points + scale * (driving.points - start.points)
        jacobians = None
        if driving.jacobians is not None and start.jacobians is not None and source.jacobians is not None:
            jacobians = driving.jacobians @ inverse_2x2(start.jacobians) @ source.jacobians
        mesh = None
        if driving.mesh is not None and start.mesh is not None and source.mesh is not None:
            mesh = _relative_mesh(source.mesh, start.mesh, driving.mesh, scale)
        return KeypointMotion(points, jacobians, mesh)


def face_scale(source: KeypointMotion, start: KeypointMotion) -> float:
    """Size of the source's face over the driving one's, kept within 0.5 to 2.

    From the meshes' scales, or else from the areas of the keypoints' convex hulls.
    """
    if source.mesh is not None and start.mesh is not None:
        ratio = float(torch.exp(source.mesh[0, 2] - start.mesh[0, 2]))
    else:
        try:
            areas = [ConvexHull(m.points[0].cpu().numpy()).volume for m in (source, start)]
        except (QhullError, ValueError):
            return 1.0
        ratio = float(np.sqrt(areas[0] / max(areas[1], 1e-6)))
    return float(np.clip(ratio, *_SCALE_RANGE))


def _relative_mesh(source: Tensor, start: Tensor, driving: Tensor, scale: float) -> Tensor:
    out = source + (driving - start)
    out[:, :2] = source[:, :2] + scale * (driving[:, :2] - start[:, :2])
    turns = [cv2.Rodrigues(m[0, 3:_CAMERA].cpu().numpy().astype(np.float64))[0] for m in (source, start, driving)]
    turned = turns[2] @ turns[1].T @ turns[0]
    vector = torch.from_numpy(cv2.Rodrigues(turned)[0][:, 0].astype(np.float32))
    out[:, 3:_CAMERA] = vector.to(out.device)
    return out


def pose_distance(source: NDArray[np.float32], driving: NDArray[np.float32]) -> float:
    """How far two meshes ``[478, 3]`` differ once place and size are taken out; 0 is the same pose and expression."""

    def normal(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = mesh - mesh.mean(0)
        return np.asarray(centred / np.sqrt((centred**2).sum() + 1e-12), np.float32)

    return float(((normal(source) - normal(driving)) ** 2).sum())
