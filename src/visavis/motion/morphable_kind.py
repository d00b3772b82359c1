"""Motion as coefficients of a three-dimensional face: who it is, what it expresses, and how the camera sees it.

Transfer between people is HeadGAN's (section 3.2 of its paper): identity of the source, expression and camera of the
driver, with place and size adapted to the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.measures import BROWS, GAPS, LEFT_LIDS, LIPS, MOUTH, OTHERS, RIGHT_LIDS
from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel
from visavis.motion import camera
from visavis.motion.amounts import UNCHANGED, Amounts, Edits
from visavis.motion.edits import edited_shape
from visavis.motion.kind import Carrier, Meshes, Mode, refuse_amounts, refuse_edits
from visavis.motion.layout import PIXEL, Layout, Motion, Part
from visavis.motion.openings import usual_opening

Array = NDArray[np.float32]
_LESS = "motion of this model tells parts of the face apart by no mesh; head and expression alone can be scaled"
_HEAD_ALONE = "motion of this model tells parts of the face apart by no mesh; yaw, pitch and roll alone can be edited"


def morphable_layout(identity: int, expression: int) -> Layout:
    """Identity, which stays the person's, then expression, then ``tx, ty, log scale, rotation vector (3)``."""
    parts = (
        Part("identity", (identity,), "coefficient", PIXEL, held=True),
        Part("expression", (expression,), "coefficient", PIXEL),
        Part("camera", (CAMERA_VALUES,), "mixed", PIXEL),
    )
    return Layout("morphable", parts)


@dataclass(frozen=True)
class MorphableKind:
    """Identity, expression and camera, and how they go from one person to another.

    Attributes:
        identity, expression: numbers of coefficients.
        face: mean face and one basis that holds identity, then expression, so that lips, lids and brows can be told
            apart; None where they cannot. Its basis need not be orthonormal: nothing is fitted by it.
    """

    identity: int
    expression: int
    face: LinearFaceModel | None = None

    @cached_property
    def layout(self) -> Layout:
        """See :func:`morphable_layout`."""
        return morphable_layout(self.identity, self.expression)

    @cached_property
    def space(self) -> ExpressionSpace | None:
        """Expressions in the expression coefficients alone, measured on the mean face."""
        if self.face is None:
            return None
        return ExpressionSpace.of(LinearFaceModel(self.face.mean, self.face.basis[self.identity :]))

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        """What each identity coefficient adds to the measures, ``[k, identity]``."""
        assert self.face is not None
        return ExpressionSpace.of(LinearFaceModel(self.face.mean, self.face.basis[: self.identity])).measures.rows

    def space_of(self, motion: Motion) -> ExpressionSpace | None:
        """The same, measured on the face of one identity."""
        if self.space is None:
            return None
        return self.space.shifted(self._rows @ motion["identity"].astype(np.float64))

    def carrier(
        self,
        source: Motion,
        start: Motion | None = None,
        mode: Mode = Mode.RELATIVE,
        *,
        ahead: Meshes = (),
        amounts: Amounts = UNCHANGED,
    ) -> Carrier:
        """Expression is the driver's in both modes; the camera moves with the driver's, or is turned as it is."""
        space = self.space_of(source) if amounts.of_face else None
        if space is None and (amounts.lips, amounts.eyes, amounts.brows, amounts.blink) != (1, 1, 1, 1):
            refuse_amounts(amounts, _LESS)
        return MorphableTransfer(source, start, mode, space=space, amounts=amounts)

    def edited(self, motion: Motion, edits: Edits, source: Motion | None = None) -> Motion:
        """Turn the head and change the expression."""
        space = self.space_of(motion) if edits.of_face else None
        if edits.of_face and space is None:
            refuse_edits(edits, _HEAD_ALONE)
        moved = camera.turned(motion["camera"].astype(np.float64), edits.yaw, edits.pitch, edits.roll)
        if source is not None:
            moved = camera.within_reach(source["camera"].astype(np.float64), moved)
        motion = motion.with_parts(camera=moved) if edits.turns else motion
        if space is None:
            return motion
        return motion.with_parts(expression=edited_shape(space, motion["expression"].astype(np.float64), edits))

    def points(self, motion: Motion) -> Array | None:
        """The mesh's points in the picture, every eighth; None without a face model."""
        if self.face is None:
            return None
        values = np.concatenate([motion["camera"], motion["identity"], motion["expression"]])
        return np.ascontiguousarray(self.face.points(values)[::8, :2])


class MorphableTransfer:
    """Identity of the source; expression and camera of the driver.

    Args:
        source: motion of the source picture.
        start: motion of the driving frame that shows the source's pose best; None takes the first that comes.
        mode: relative or absolute, of the camera.
        space: expressions on the source's face, where regions count by other amounts than 1.
        amounts: how much of the driver's movement counts.
    """

    def __init__(
        self, source: Motion, start: Motion | None, mode: Mode, *, space: ExpressionSpace | None, amounts: Amounts
    ) -> None:
        self._source, self._start, self._mode = source, start, mode
        self._space, self._amounts = space, amounts
        self._own = source["camera"].astype(np.float64)

    def __call__(self, driving: Motion) -> Motion:
        """Return the motion to render the source with."""
        self._start = self._start or driving
        start, head = self._start["camera"].astype(np.float64), driving["camera"].astype(np.float64)
        move = camera.absolute if self._mode is Mode.ABSOLUTE else camera.relative
        moved = move(self._own, start, head)
        if self._amounts.head != 1:
            moved = camera.scaled(self._own, moved, self._amounts.head)
        return driving.with_parts(
            identity=self._source["identity"],
            expression=self._expression(driving["expression"].astype(np.float64)),
            camera=camera.within_reach(self._own, moved),
        )

    def _expression(self, driving: NDArray[np.float64]) -> NDArray[np.float64]:
        """The driver's expression, with its regions by their amounts."""
        amounts, space = self._amounts, self._space
        shape = amounts.expression * driving
        if space is None:
            return shape
        still, wanted = space.measures(np.zeros_like(shape)), space.measures(shape)
        held = np.zeros(OTHERS.stop, bool)
        for region, amount in ((MOUTH, amounts.lips), (BROWS, amounts.brows)):
            if amount != 1:
                wanted[region] = still[region] + amount * (wanted[region] - still[region])
                held[region] = True
        if amounts.lips != 1:
            wanted[LIPS] = amounts.lips * np.maximum(wanted[LIPS], 0)
        for lids in (RIGHT_LIDS, LEFT_LIDS):
            usual = usual_opening(float(still[lids].mean()))
            gap = float(wanted[lids].mean())
            away = amounts.eyes * (gap - usual)
            wanted[lids] += usual + (amounts.blink * away if away < 0 else away) - gap
        held[GAPS] = True
        return space.reach(shape, held, wanted[held])
