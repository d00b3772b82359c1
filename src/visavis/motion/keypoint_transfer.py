"""From the driving person's keypoints, and mesh if there is one, to the source person's.

See docs/motion.md for the whole of it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel
from visavis.motion import camera
from visavis.motion.amounts import UNCHANGED, Amounts
from visavis.motion.anchors import Anchors
from visavis.motion.kind import Meshes, Mode
from visavis.motion.layout import Motion
from visavis.motion.limits import softened
from visavis.motion.shape import ShapeTransfer
from visavis.motion.shell import Shell

Array = NDArray[np.float32]
_OWN_SHAPE, _ALIKE = 0.0, 0.6  # how far the source's resting shape may go towards the driver's
_FREE, _MOST = 0.12, 0.25  # how far a keypoint off the face may go, in [-1, 1] over the crop
_LEAST_DETERMINANT = 1e-8


class PointTransfer:
    """Motions without a mesh: the first order model's formula (section 3.3), or the driver's motion as it is.

    Args:
        source: motion of the source picture.
        start: motion of the driving frame that shows the source's pose best; None takes the first that comes.
        mode: relative or absolute.
    """

    def __init__(self, source: Motion, start: Motion | None, mode: Mode) -> None:
        self._source, self._start, self._mode = source, start, mode

    def __call__(self, driving: Motion) -> Motion:
        """Return the motion to render the source with."""
        if self._mode is Mode.ABSOLUTE:
            return driving
        self._start = self._start or driving
        return relative(self._source, self._start, driving, face_scale(self._source, self._start))


class FaceTransfer:
    """Motions with a mesh: camera, shape, then the keypoints that go with face and head; all others by the formula.

    Args:
        source, start, mode: as for :class:`PointTransfer`.
        face: the linear face model of the motions' mesh values.
        space: expressions in its coefficients.
        ahead: driving meshes that are known beforehand. The more of them, the better the driver's resting face and
            range are known from the first frame on; both go on being learned.
        amounts: how much of the driver's movement counts.
    """

    def __init__(
        self,
        source: Motion,
        start: Motion | None,
        mode: Mode,
        *,
        face: LinearFaceModel,
        space: ExpressionSpace,
        ahead: Meshes = (),
        amounts: Amounts = UNCHANGED,
    ) -> None:
        self._face, self._mode, self._source, self._head = face, mode, source, amounts.head
        known = np.stack([face.fit(mesh) for mesh in ahead]) if len(ahead) else np.zeros((0, face.size))
        known = known.astype(np.float64)
        self._own = mesh_values(source)
        self._usual = np.median(known, 0) if len(known) else None
        alike = _ALIKE if mode is Mode.ABSOLUTE else _OWN_SHAPE
        shapes = known[:, CAMERA_VALUES:]
        own = self._own[CAMERA_VALUES:]
        self._shape = ShapeTransfer(space, own, shapes, towards_driver=alike, amounts=amounts)
        self._anchors = Anchors(source["keypoints"], face.points(self._own.astype(np.float32)))
        self._shell = Shell(source["keypoints"], self._own[:CAMERA_VALUES])
        self._start: Motion | None = None
        self._scale = 1.0
        if start is not None:
            self._begin(start)

    def __call__(self, driving: Motion) -> Motion:
        """Return the motion to render the source with."""
        if self._start is None:
            self._begin(driving)
        assert self._start is not None
        moved = self._within_reach(relative(self._source, self._start, driving, self._scale))
        values = self._moved(mesh_values(driving), mesh_values(self._start))
        moved = carried_by_head(moved, self._source, self._shell, values[:CAMERA_VALUES])
        return carried_by_mesh(moved, self._source, self._anchors, self._face.points(values), values)

    def _begin(self, start: Motion) -> None:
        self._start, self._scale = start, face_scale(self._source, start)

    def _within_reach(self, moved: Motion) -> Motion:
        """Keypoints off the face no farther from the source's than a picture can be drawn out."""
        own = self._source["keypoints"]
        change = np.float32(self._head) * (moved["keypoints"] - own)
        far = np.linalg.norm(change, axis=-1, keepdims=True)
        bent = np.array([softened(float(one), _FREE, _MOST) for one in far.flat], np.float32).reshape(far.shape)
        share = np.maximum(bent, 1e-6) / np.maximum(far, 1e-6)
        parts = {"keypoints": own + share * change}
        if "jacobians" in moved:
            still = self._source["jacobians"]
            towards = np.float32(min(self._head, 1.0)) * np.minimum(share, 1)[..., None]
            parts["jacobians"] = still + towards * (moved["jacobians"] - still)
        return moved.with_parts(**parts)

    def _moved(self, driving: NDArray[np.float64], start: NDArray[np.float64]) -> Array:
        head = driving[:CAMERA_VALUES]
        if self._mode is Mode.ABSOLUTE:
            head = camera.absolute(self._own, start if self._usual is None else self._usual, head)
        else:
            head = camera.relative(self._own, start, head)
        if self._head != 1:
            head = camera.scaled(self._own, head, self._head)
        head = camera.within_reach(self._own, head)
        return np.concatenate([head, self._shape(driving[CAMERA_VALUES:])]).astype(np.float32)


def carried_by_mesh(motion: Motion, still: Motion, anchors: Anchors, mesh: Array, values: Array) -> Motion:
    """A motion whose mesh is another one, and whose keypoints on the face go with it.

    Args:
        motion: where keypoints go that lie off the face.
        still: what the anchors were made of.
        anchors: of ``still``.
        mesh: the new one.
        values: its camera and shape.
    """
    points, maps = anchors(mesh)
    held = anchors.held
    parts = {"keypoints": motion["keypoints"] + held * (points - motion["keypoints"])}
    if "jacobians" in motion:
        turned = maps @ still["jacobians"]
        parts["jacobians"] = motion["jacobians"] + held[..., None] * (turned - motion["jacobians"])
    return motion.with_parts(**parts, camera=values[:CAMERA_VALUES], shape=values[CAMERA_VALUES:])


def carried_by_head(motion: Motion, still: Motion, shell: Shell, head: Array | NDArray[np.float64]) -> Motion:
    """A motion whose keypoints beside the face go with a head.

    Args:
        motion: where keypoints go that are not the head's.
        still: what the shell was made of.
        shell: of ``still``.
        head: camera ``[6]`` of the new one.
    """
    points, frame = shell(head.astype(np.float64))
    held = shell.held
    parts = {"keypoints": motion["keypoints"] + held * (points - motion["keypoints"])}
    if "jacobians" in motion:
        parts["jacobians"] = motion["jacobians"] + held[..., None] * (frame @ still["jacobians"] - motion["jacobians"])
    return motion.with_parts(**parts)


def relative(source: Motion, start: Motion, driving: Motion, scale: float) -> Motion:
    """The source's keypoints, moved as the driver's have since the start frame; mesh values stay the driver's."""
    own = source["keypoints"]
    parts = {"keypoints": own + np.float32(scale) * (driving["keypoints"] - start["keypoints"])}
    if "jacobians" in driving:
        parts["jacobians"] = driving["jacobians"] @ _inverse(start["jacobians"]) @ source["jacobians"]
    return driving.with_parts(**parts)


def _inverse(matrices: Array) -> Array:
    """Inverse of ``[K, 2, 2]``; a singular one is inverted as if its determinant were tiny, so as to be finite."""
    a, b, c, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1]
    adjoint = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], -2)
    determinant = a * d - b * c
    least = np.where(determinant < 0, -_LEAST_DETERMINANT, _LEAST_DETERMINANT)
    determinant = np.where(np.abs(determinant) < _LEAST_DETERMINANT, least, determinant)
    return np.asarray(adjoint / determinant[:, None, None], np.float32)


def mesh_values(motion: Motion) -> NDArray[np.float64]:
    """Camera and shape ``[6 + n]`` of a motion that has them."""
    return np.concatenate([motion["camera"], motion["shape"]]).astype(np.float64)


def face_scale(source: Motion, start: Motion) -> float:
    """Size of the source's face over the driving one's, kept within 0.5 to 2.

    From the meshes' scales, or else from the areas of the keypoints' convex hulls.
    """
    if "camera" in source:
        ratio = float(np.exp(source["camera"][2] - start["camera"][2]))
    else:
        areas = [cv2.contourArea(cv2.convexHull(motion["keypoints"])) for motion in (source, start)]
        if min(areas) < 1e-6:
            return 1.0
        ratio = float(np.sqrt(areas[0] / areas[1]))
    return float(np.clip(ratio, *camera.SCALE_RANGE))
