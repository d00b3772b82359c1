"""From the driving person's motion to the source person's.

Mesh values are ordered ``tx, ty, log scale, rotation vector (3), shape coefficients``
(:mod:`visavis.face.morphable`). See docs/motion.md for the whole of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel, rigid_weights
from visavis.motion import camera
from visavis.motion.anchors import Anchors
from visavis.motion.limits import softened
from visavis.motion.shape import ShapeTransfer
from visavis.motion.types import KeypointMotion
from visavis.nn.dense_motion import inverse_2x2

_OWN_SHAPE, _ALIKE = 0.0, 0.6  # how far the source's resting shape may go towards the driver's
_FREE, _MOST = 0.12, 0.25  # how far a keypoint off the face may go, in [-1, 1] over the crop
Meshes = Sequence[NDArray[np.float32]]


class Mode(str, Enum):
    """How driving motion is carried over.

    ``relative`` adds the turn and shift of the head since a start frame to the source's own pose; ``absolute`` turns
    the head as the driver's is turned, and takes as much of the driver's shape as one person's shape varies.
    Either keeps the source's place and size, and opens and closes its mouth and eyes as the driver's.
    """

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class Transfer:
    """Carries driving motions over to one source, one after another.

    Motions without a mesh, or without a face model to read it by, move by the first order model's formula: relative to
    the start frame, or as they are. With one, the mesh is moved part by part, and the keypoints on the face with it.

    Args:
        source: motion of the source picture.
        start: motion of the driving frame that shows the source's pose best.
        mode: relative or absolute.
        face: the linear face model that the motions' mesh values are of.
        ahead: driving meshes ``[478, 3]`` that are known beforehand, in [-1, 1] over the crop. The more of them, the
            better the driver's resting face and range are known from the first frame on; both go on being learned.
    """

    def __init__(
        self,
        source: KeypointMotion,
        start: KeypointMotion,
        mode: Mode = Mode.RELATIVE,
        *,
        face: LinearFaceModel | None = None,
        ahead: Meshes = (),
    ) -> None:
        self.source, self.start, self.mode = source, start, mode
        self._scale = face_scale(source, start)
        self._faces: _Faces | None = None
        if face is not None and source.mesh is not None and start.mesh is not None:
            self._faces = _Faces(source, start, mode, face, ahead)

    def __call__(self, driving: KeypointMotion) -> KeypointMotion:
        """Return the motion to render the source with."""
        if self._faces is not None and driving.mesh is not None:
            return self._faces(driving, self._relative(driving))
        return driving if self.mode is Mode.ABSOLUTE else self._relative(driving)

    def _relative(self, driving: KeypointMotion) -> KeypointMotion:
        """The first order model's formula (section 3.3), and the like of it for mesh values."""
        source, start = self.source, self.start
        points = source.points + self._scale * (driving.points - start.points)
        jacobians = None
        if driving.jacobians is not None and start.jacobians is not None and source.jacobians is not None:
            jacobians = driving.jacobians @ inverse_2x2(start.jacobians) @ source.jacobians
        mesh = None
        if driving.mesh is not None and start.mesh is not None and source.mesh is not None:
            mesh = source.mesh + driving.mesh - start.mesh
            moved = camera.relative(_values(source)[:6], _values(start)[:6], _values(driving)[:6])
            mesh[:, :CAMERA_VALUES] = torch.from_numpy(moved.astype(np.float32)).to(mesh.device)
        return KeypointMotion(points, jacobians, mesh)


class _Faces:
    """Transfer of motions with a mesh: camera, shape, then the keypoints that lie on the face."""

    def __init__(
        self, source: KeypointMotion, start: KeypointMotion, mode: Mode, face: LinearFaceModel, ahead: Meshes
    ) -> None:
        self._face, self._mode, self._source = face, mode, source
        known = np.stack([face.fit(mesh) for mesh in ahead]) if len(ahead) else np.zeros((0, face.size))
        known = known.astype(np.float64)
        self._own, self._start = _values(source), _values(start)
        self._usual = np.median(known, 0) if len(known) else self._start
        alike = _ALIKE if mode is Mode.ABSOLUTE else _OWN_SHAPE
        shapes = known[:, CAMERA_VALUES:]
        self._shape = ShapeTransfer(ExpressionSpace.of(face), self._own[CAMERA_VALUES:], shapes, towards_driver=alike)
        self._anchors = Anchors(source, face.points(self._own.astype(np.float32)))

    def __call__(self, driving: KeypointMotion, relative: KeypointMotion) -> KeypointMotion:
        values, relative = self._moved(_values(driving)), self._within_reach(relative)
        points, maps = self._anchors(self._face.points(values))
        held = self._anchors.held
        jacobians = relative.jacobians
        if jacobians is not None and self._source.jacobians is not None:
            turned = maps @ self._source.jacobians
            jacobians = jacobians + held[..., None] * (turned - jacobians)
        points = relative.points + held * (points - relative.points)
        mesh = torch.from_numpy(values)[None].to(points.device)
        return KeypointMotion(points, jacobians, mesh)

    def _within_reach(self, relative: KeypointMotion) -> KeypointMotion:
        """Keypoints off the face no farther from the source's than a picture can be drawn out."""
        change = relative.points - self._source.points
        far = change.norm(dim=-1, keepdim=True)
        bent = [softened(float(one), _FREE, _MOST) for one in far.flatten()]
        share = torch.tensor(bent, device=far.device).view_as(far).clamp_min(1e-6) / far.clamp_min(1e-6)
        jacobians = relative.jacobians
        if jacobians is not None and self._source.jacobians is not None:
            jacobians = self._source.jacobians + share.clamp_max(1)[..., None] * (jacobians - self._source.jacobians)
        return KeypointMotion(self._source.points + share * change, jacobians, relative.mesh)

    def _moved(self, driving: NDArray[np.float64]) -> NDArray[np.float32]:
        head = driving[:CAMERA_VALUES]
        if self._mode is Mode.ABSOLUTE:
            head = camera.absolute(self._own, self._usual, head)
        else:
            head = camera.relative(self._own, self._start, head)
        head = camera.within_reach(self._own, head)
        return np.concatenate([head, self._shape(driving[CAMERA_VALUES:])]).astype(np.float32)


def _values(motion: KeypointMotion) -> NDArray[np.float64]:
    assert motion.mesh is not None
    return motion.mesh[0].double().cpu().numpy()


def face_scale(source: KeypointMotion, start: KeypointMotion) -> float:
    """Size of the source's face over the driving one's, kept within 0.5 to 2.

    From the meshes' scales, or else from the areas of the keypoints' convex hulls.
    """
    if source.mesh is not None and start.mesh is not None:
        ratio = float(torch.exp(source.mesh[0, 2] - start.mesh[0, 2]))
    else:
        hulls = [cv2.convexHull(m.points[0].float().cpu().numpy()) for m in (source, start)]
        areas = [cv2.contourArea(hull) for hull in hulls]
        if min(areas) < 1e-6:
            return 1.0
        ratio = float(np.sqrt(areas[0] / areas[1]))
    return float(np.clip(ratio, *camera.SCALE_RANGE))


def pose_distance(source: NDArray[np.float32], driving: NDArray[np.float32]) -> float:
    """How far two meshes ``[478, 3]`` differ once place and size are taken out; 0 is the same pose.

    Lips, lids and jaw count next to nothing: what they do is not pose.
    """
    weight = (rigid_weights() / rigid_weights().sum())[:, None]

    def normal(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = mesh - (weight * mesh).sum(0)
        return np.asarray(centred / np.sqrt((weight * centred**2).sum() + 1e-12), np.float32)

    return float((weight * (normal(source) - normal(driving)) ** 2).sum())
