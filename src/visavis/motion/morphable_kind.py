"""Motion as coefficients of a three-dimensional face: who it is, what it expresses, and how the camera sees it.

Transfer between people is HeadGAN's (section 3.1 of its paper): identity of the source, expression and camera of the
driver, with place and size adapted to the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace, packaged
from visavis.face.fitting import fit_frame
from visavis.face.gaze import gaze_of
from visavis.face.measures import Measures
from visavis.face.model3d import FaceModel
from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel
from visavis.motion import camera
from visavis.motion.amounts import UNCHANGED, Amounts, Edits
from visavis.motion.edits import edited_shape
from visavis.motion.kind import Carrier, Mesh, Meshes, Mode, refuse_amounts, refuse_edits, refuse_meshes
from visavis.motion.layout import PIXEL, Layout, Motion, Part
from visavis.motion.morphable_transfer import MorphableTransfer, whole_shape
from visavis.motion.shape import ShapeTransfer

Array = NDArray[np.float32]
_LESS = "motion of this model tells parts of the face apart by no mesh; head and expression alone can be scaled"
_HEAD_ALONE = "motion of this model tells parts of the face apart by no mesh; yaw, pitch and roll alone can be edited"
_NO_FIT = "its motion is of a face that no mesh is fitted to"
_NOISE = 0.01  # of a coefficient, in standard deviations; with it every measure can be reached
# Where the picture changes by about one pixel of 256, of a face that is half as wide: a coefficient moves all of a face
# a little or some of it more, and half an eye is some 15 pixels wide.
_COEFFICIENT_PIXEL, _IRIS_PIXEL = 0.15, 1 / 15
_ALIKE = 0.6  # in absolute motion, how far the source's resting shape may go towards the driver's
_EVERY = 8  # mesh points between two that are told of


class MorphableFace(Protocol):
    """A face model in two bases; :class:`visavis.face.model3d.FaceModel` is one."""

    @property
    def mean(self) -> Array:
        """``float32 [V, 3]``, V at least 468: the points of the face mesh."""

    @property
    def identity(self) -> Array:
        """``float32 [n_id, V, 3]``."""

    @property
    def expression(self) -> Array:
        """``float32 [n_exp, V, 3]``."""

    @property
    def expression_scale(self) -> Array:
        """``float32 [n_exp]``, standard deviation of each coefficient within one person."""

    @property
    def rest_scale(self) -> Array:
        """``float32 [n_exp]``, that of people's resting expression between people."""

    def points(self, camera: Array, identity: Array, expression: Array) -> Array:
        """Faces ``float32 [..., V, 3]`` in crop coordinates."""


def morphable_layout(identity: int, expression: int, *, gaze: bool = False) -> Layout:
    """Identity, which stays the person's, then expression, then ``tx, ty, log scale, rotation vector (3)``.

    With gaze, then where the irises are (:mod:`visavis.face.gaze`).
    """
    parts = (
        Part("identity", (identity,), "coefficient", _COEFFICIENT_PIXEL, held=True),
        Part("expression", (expression,), "coefficient", _COEFFICIENT_PIXEL),
        Part("camera", (CAMERA_VALUES,), "mixed", PIXEL),
        *((Part("gaze", (2, 2), "ratio", _IRIS_PIXEL),) if gaze else ()),
    )
    return Layout("morphable", parts)


@dataclass(frozen=True)
class MorphableKind:
    """Identity, expression and camera, and how they go from one person to another.

    Attributes:
        identity, expression: numbers of coefficients.
        face: the face model that they are of, by which lips, lids and brows are told apart and a resting expression is
            known; None where there is none.
        shapes_of: identity and expression ``[T, n_id + n_exp]`` of meshes that are known beforehand; None where they
            are learned from the frames alone.
        gaze: whether the motion says where the eyes look; they look where the driver's do.
    """

    identity: int
    expression: int
    face: MorphableFace | None = None
    shapes_of: Callable[[Meshes], Array] | None = None
    gaze: bool = False

    @cached_property
    def layout(self) -> Layout:
        """See :func:`morphable_layout`."""
        return morphable_layout(self.identity, self.expression, gaze=self.gaze)

    def space_of(self, motion: Motion) -> ExpressionSpace | None:
        """Expressions in the expression coefficients, measured on the face of one identity."""
        return self.space_of_identity(motion["identity"])

    def space_of_identity(self, identity: Array) -> ExpressionSpace | None:
        """The same of an identity ``float32 [n_id]``."""
        if self.face is None:
            return None
        shape = self.face.mean + np.einsum("n,npd->pd", identity, self.face.identity)
        model = LinearFaceModel(np.asarray(shape, np.float32), self.face.expression)
        return _space(model, self._variance(self.face))

    def _whole_space(self, face: MorphableFace) -> ExpressionSpace:
        """Expressions in identity and expression coefficients together: both are measured, expression alone moves."""
        model = LinearFaceModel(face.mean, np.concatenate([face.identity, face.expression]))
        return _space(model, np.concatenate([np.zeros(self.identity), self._variance(face)]))

    @staticmethod
    def _variance(face: MorphableFace) -> NDArray[np.float64]:
        variance = face.expression_scale.astype(np.float64) ** 2
        return np.asarray(variance + _NOISE**2 * variance.mean(), np.float64)

    def carrier(
        self,
        source: Motion,
        start: Motion | None = None,
        mode: Mode = Mode.RELATIVE,
        *,
        ahead: Meshes = (),
        amounts: Amounts = UNCHANGED,
    ) -> Carrier:
        """The camera moves as the driver's (relative) or is turned as it is (absolute).

        With a face model the expression is the driver's change from rest on the source at rest, with lips and lids as
        open as the driver's (:class:`visavis.motion.shape.ShapeTransfer`): equation 1 alone would leave lips of another
        person's face apart or crossed by up to five pixels, and give it the driver's resting expression.
        """
        if self.face is None:
            if (amounts.lips, amounts.eyes, amounts.brows, amounts.blink) != (1, 1, 1, 1):
                refuse_amounts(amounts, _LESS)
            return MorphableTransfer(source, start, mode, shape=None, amounts=amounts)
        known = np.zeros((0, self.identity + self.expression), np.float32)
        if len(ahead) and self.shapes_of is not None:
            known = self.shapes_of(ahead)
        shape = ShapeTransfer(
            self._whole_space(self.face),
            whole_shape(source),
            known.astype(np.float64),
            towards_driver=_ALIKE if mode is Mode.ABSOLUTE else 0.0,
            amounts=amounts,
            person=self.identity,
        )
        return MorphableTransfer(source, start, mode, shape=shape, amounts=amounts)

    def of_mesh(self, mesh: Mesh, beside: Motion | None = None) -> Motion:
        """The 3D face fitted to the mesh, and where its irises look; nothing else is in a motion."""
        if not isinstance(self.face, FaceModel):
            raise refuse_meshes(_NO_FIT)
        fit = fit_frame(mesh, model=self.face)
        gaze = {"gaze": gaze_of(mesh, fit.camera)} if self.gaze else {}
        return Motion.of(self.layout, identity=fit.identity, expression=fit.expression, camera=fit.camera, **gaze)

    def edited(self, motion: Motion, edits: Edits, source: Motion | None = None) -> Motion:
        """Turn the head and change the expression."""
        space = self.space_of(motion) if edits.of_face else None
        if edits.of_face and space is None:
            refuse_edits(edits, _HEAD_ALONE)
        if edits.turns:
            moved = camera.turned(motion["camera"].astype(np.float64), edits.yaw, edits.pitch, edits.roll)
            if source is not None:
                moved = camera.within_reach(source["camera"].astype(np.float64), moved)
            motion = motion.with_parts(camera=moved)
        if space is None:
            return motion
        return motion.with_parts(expression=edited_shape(space, motion["expression"].astype(np.float64), edits))

    def points(self, motion: Motion) -> Array | None:
        """Some of the mesh's points in the picture; None without a face model."""
        if self.face is None:
            return None
        found = self.face.points(motion["camera"], motion["identity"], motion["expression"])
        return np.ascontiguousarray(found[::_EVERY, :2])


def _space(model: LinearFaceModel, variance: NDArray[np.float64]) -> ExpressionSpace:
    """Expressions whose coefficients vary each by itself; those without variance stay, whatever they are."""
    inverse = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
    return ExpressionSpace(Measures.of(model), np.diag(variance), np.diag(inverse), packaged())
