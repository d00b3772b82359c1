"""Motion as learned keypoints, with the mesh's camera and shape where a family has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel
from visavis.motion import camera
from visavis.motion.amounts import UNCHANGED, Amounts, Edits
from visavis.motion.anchors import Anchors
from visavis.motion.edits import edited_shape
from visavis.motion.keypoint_transfer import (
    FaceTransfer,
    PointTransfer,
    carried_by_head,
    carried_by_mesh,
    mesh_values,
)
from visavis.motion.kind import Carrier, Mesh, Meshes, Mode, refuse_amounts, refuse_edits, refuse_meshes
from visavis.motion.layout import PIXEL, Layout, Motion, Part
from visavis.motion.shell import Shell

#: Share of a head's shift by which keypoints off the face (hair, shoulders) go along; over clips of training people.
_ALONG = 0.65
#: How far behind the face's middle the axis lies about which heads are turned by hand, in units of the face's scale:
#: then the face goes aside, and hair and shoulders stay.
_NECK = 1.0
_WHY = "motion of keypoints alone has no parts of the face; take a model whose motion has a mesh"


def keypoint_layout(keypoints: int, *, jacobians: bool, shape: int = 0) -> Layout:
    """Points, then their frames row by row, then ``tx, ty, log scale, rotation vector (3)`` and shape coefficients.

    Args:
        keypoints: K.
        jacobians: whether each keypoint carries a 2x2 frame.
        shape: number of shape coefficients; 0 for motions without a mesh.
    """
    parts = [Part("keypoints", (keypoints, 2), "crop", PIXEL)]
    if jacobians:
        parts.append(Part("jacobians", (keypoints, 2, 2), "ratio", PIXEL))
    if shape:
        parts += [Part("camera", (CAMERA_VALUES,), "mixed", PIXEL), Part("shape", (shape,), "coefficient", PIXEL)]
    return Layout("keypoints", tuple(parts))


@dataclass(frozen=True)
class KeypointKind:
    """Keypoints, and how they go from one person to another: :class:`visavis.motion.kind.MotionKind`.

    Attributes:
        keypoints: K.
        jacobians: whether each keypoint carries a 2x2 frame.
        face: the linear face model that the mesh values are of; None for motions without a mesh.
    """

    keypoints: int
    jacobians: bool
    face: LinearFaceModel | None = None

    @cached_property
    def layout(self) -> Layout:
        """See :func:`keypoint_layout`."""
        shape = 0 if self.face is None else self.face.size - CAMERA_VALUES
        return keypoint_layout(self.keypoints, jacobians=self.jacobians, shape=shape)

    @cached_property
    def space(self) -> ExpressionSpace | None:
        """Expressions in the coefficients of the face model."""
        return None if self.face is None else ExpressionSpace.of(self.face)

    def carrier(
        self,
        source: Motion,
        start: Motion | None = None,
        mode: Mode = Mode.RELATIVE,
        *,
        ahead: Meshes = (),
        amounts: Amounts = UNCHANGED,
    ) -> Carrier:
        """Part by part where there is a mesh, else by the first order model's formula."""
        if self.face is None or self.space is None:
            refuse_amounts(amounts, _WHY)
            return PointTransfer(source, start, mode)
        return FaceTransfer(source, start, mode, face=self.face, space=self.space, ahead=ahead, amounts=amounts)

    def of_mesh(self, mesh: Mesh, beside: Motion | None = None) -> Motion:
        """Camera and shape of the mesh; keypoints on the face go with it from where ``beside`` has them.

        Without ``beside`` keypoints stand for nothing but what they change by from mesh to mesh: those on the face are
        placed by the transfer, and those off it go softly along with the head.
        """
        if self.face is None:
            raise refuse_meshes(_WHY)
        values = self.face.fit(mesh)
        if beside is not None:
            own = mesh_values(beside)
            shell = Shell(beside["keypoints"], own[:CAMERA_VALUES])
            moved = carried_by_head(beside, beside, shell, values[:CAMERA_VALUES])
            anchors = Anchors(beside["keypoints"], self.face.points(own.astype(np.float32)))
            return carried_by_mesh(moved, beside, anchors, self.face.points(values), values)
        parts = {"keypoints": np.broadcast_to(_ALONG * values[:2], (self.keypoints, 2))}
        if self.jacobians:
            parts["jacobians"] = np.broadcast_to(np.eye(2, dtype=np.float32), (self.keypoints, 2, 2))
        return Motion.of(self.layout, **parts, camera=values[:CAMERA_VALUES], shape=values[CAMERA_VALUES:])

    def edited(self, motion: Motion, edits: Edits, source: Motion | None = None) -> Motion:
        """Turn the head and change the shape; keypoints on the face go with it."""
        if not edits:
            return motion
        if self.face is None or self.space is None:
            refuse_edits(edits, _WHY)
            return motion
        values = mesh_values(motion)
        head, shape = values[:CAMERA_VALUES], values[CAMERA_VALUES:]
        moved = camera.turned(head, edits.yaw, edits.pitch, edits.roll, behind=_NECK)
        if source is not None:
            moved = camera.within_reach(mesh_values(source), moved)
        changed = np.concatenate([moved, edited_shape(self.space, shape, edits)]).astype(np.float32)
        beside = carried_by_head(motion, motion, Shell(motion["keypoints"], head), moved)
        anchors = Anchors(motion["keypoints"], self.face.points(values.astype(np.float32)))
        return carried_by_mesh(beside, motion, anchors, self.face.points(changed), changed)

    def points(self, motion: Motion) -> NDArray[np.float32] | None:
        """The keypoints."""
        return motion["keypoints"]
