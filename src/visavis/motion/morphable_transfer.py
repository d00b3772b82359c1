"""From the driving person's coefficients of a three-dimensional face to the source person's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.measures import BROWS, GAPS, LEFT_LIDS, LIPS, MOUTH, OTHERS, RIGHT_LIDS
from visavis.motion import camera
from visavis.motion.amounts import Amounts
from visavis.motion.kind import Mode
from visavis.motion.layout import Motion
from visavis.motion.openings import usual_opening

Array = NDArray[np.float64]
#: Expressions of frames within half a second are much the same one.
_FRAMES_ALIKE = 12
_SETTLED = 250


class Rest:
    """The likely resting expression of one person: the mean of what was seen, drawn to zero by what may be passing.

    Args:
        rest_scale: ``[n]``, standard deviation of resting expressions between people.
        expression_scale: ``[n]``, that of expressions within one person.
    """

    def __init__(self, rest_scale: NDArray[np.float32], expression_scale: NDArray[np.float32]) -> None:
        self._own, self._passing = rest_scale.astype(np.float64) ** 2, expression_scale.astype(np.float64) ** 2
        self._mean = np.zeros(len(rest_scale))
        self._frames = 0

    def add(self, expressions: NDArray[np.float32]) -> None:
        """Take in expressions ``[T, n]`` of frames; after ten seconds' worth nothing changes any more."""
        for expression in expressions[: _SETTLED - self._frames]:
            self._frames += 1
            self._mean += (expression.astype(np.float64) - self._mean) / self._frames

    @property
    def value(self) -> Array:
        """``[n]``; nought before the first frame."""
        passing = self._passing / max(self._frames / _FRAMES_ALIKE, 1)
        return np.asarray(self._mean * self._own / np.maximum(self._own + passing, 1e-12), np.float64)


class MorphableTransfer:
    """Identity of the source; expression and camera of the driver.

    Args:
        source: motion of the source picture.
        start: motion of the driving frame that shows the source's pose best; None takes the first that comes.
        mode: relative or absolute, of the camera.
        rests: of the source and of the driver, whose difference is left out of the expression; the driver's goes on
            being learned. None takes the driver's expression as it is.
        space: expressions on the source's face, where regions count by other amounts than 1.
        amounts: how much of the driver's movement counts.
    """

    def __init__(
        self,
        source: Motion,
        start: Motion | None,
        mode: Mode,
        *,
        rests: tuple[Rest, Rest] | None,
        space: ExpressionSpace | None,
        amounts: Amounts,
    ) -> None:
        self._source, self._start, self._mode = source, start, mode
        self._rests, self._space, self._amounts = rests, space, amounts
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
            expression=self._expression(driving["expression"]),
            camera=camera.within_reach(self._own, moved),
        )

    def _expression(self, driving: NDArray[np.float32]) -> Array:
        """The driver's expression on the source's face, its regions by their amounts."""
        rest = np.zeros(len(driving))
        change = driving.astype(np.float64)
        if self._rests is not None:
            own, theirs = self._rests
            theirs.add(driving[None])
            rest, change = own.value, change - theirs.value
        amounts, space = self._amounts, self._space
        shape = rest + amounts.expression * change
        if space is None:
            return shape
        still, wanted = space.measures(rest), space.measures(shape)
        held = np.zeros(OTHERS.stop, bool)
        held[GAPS] = True
        for region, amount in ((MOUTH, amounts.lips), (BROWS, amounts.brows)):
            if amount != 1:
                wanted[region] = still[region] + amount * (wanted[region] - still[region])
                held[region] = True
        if amounts.lips != 1:
            wanted[LIPS] = amounts.lips * np.maximum(wanted[LIPS], 0)
        for lids in (RIGHT_LIDS, LEFT_LIDS):
            usual, gap = usual_opening(float(still[lids].mean())), float(wanted[lids].mean())
            away = amounts.eyes * (gap - usual)
            wanted[lids] += usual + (amounts.blink * away if away < 0 else away) - gap
        return space.reach(shape, held, wanted[held])
