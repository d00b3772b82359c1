"""From the driver's shape to the source's: contacts are kept, identity stays, and nothing goes where no face goes.

``target = source at rest + (driver - driver at rest)``, rest being closed lips and usually open eyes. So each part has
its own zero: the state of the source's picture does not count, and lips that touch in the driver touch in the source.
Then lids are set to the driver's share of opening, and all other measures are kept between limits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.measures import BROWS, GAPS, LEFT_LIDS, LIPS, MOUTH, OTHERS, RIGHT_LIDS
from visavis.motion.amounts import UNCHANGED, Amounts
from visavis.motion.limits import softened
from visavis.motion.openings import WIDEST, EyeRange, usual_opening

Array = NDArray[np.float64]

_EYES = (RIGHT_LIDS, LEFT_LIDS)
#: How the gaps of an eye's lids, from its outer corner to its inner, lie to their mean.
_PROFILE = np.array([0.72, 1.07, 1.27, 1.16, 0.78])
#: Mean gap of the inner lips up to which a mouth opens as its driver's does, and where it ends, in unposed units.
_MOUTH_FREE, _MOUTH_MOST = 0.30, 0.42
_LIPS_SHUT_MOST, _SHUT_PACE = 0.03, 0.1
#: How far from rest a shape may go; of frames that were tracked, 99 in 100 stay under 16, 999 in 1000 under 26.
_STRANGEST = 25.0
_FRAMES_OF_REST = 250
_SLACK, _TIGHT, _CROSSING = 1e-4, 1e-4, 0.01
_ROUNDS = 3
#: Lids that meet, in unposed units: under a pixel at 256. Nearer, a warp begins to turn eyes inside out.
_LIDS_MEET = 0.018


class ShapeTransfer:
    """Carries the shape coefficients of one driver over to one source.

    Args:
        space: expressions in the coefficients of the face model.
        source: ``[n]``, shape coefficients of the source's picture.
        look_ahead: ``[T, n]``, those of driving frames that are known beforehand; the more the better, may be none.
        towards_driver: by how much, as a norm of coefficients, the source at rest may take the driver's shape.
        amounts: how much of the driver's movement counts.
        person: how many of the first coefficients belong to the person: they are measured, but stay the source's.
    """

    def __init__(
        self,
        space: ExpressionSpace,
        source: Array,
        look_ahead: Sequence[Array] | Array = (),
        *,
        towards_driver: float = 0.0,
        amounts: Amounts = UNCHANGED,
        person: int = 0,
    ) -> None:
        self._space, self._towards_driver, self._amounts = space, towards_driver, amounts
        self._carried = np.arange(len(source)) >= person
        known = np.asarray(look_ahead, np.float64).reshape(-1, len(source))
        measured = space.measures(source)
        self._open = [usual_opening(float(measured[eye].mean())) for eye in _EYES]
        self.source_rest = self._rest(np.asarray(source, np.float64), self._open)
        gaps = space.measures(known)
        self._eyes = [EyeRange.over(gaps[:, eye].mean(1)) for eye in _EYES]
        lips = gaps[:, LIPS].mean(1)
        self._lips_shut = float(np.clip(np.percentile(lips, 1), 0, _LIPS_SHUT_MOST)) if len(known) else 0.0
        resting = space.measures(self.source_rest)[OTHERS]
        bounds = space.expressions
        self._limits = (
            np.maximum(resting + bounds.lowest, np.minimum(bounds.least, resting)),
            np.minimum(resting + bounds.highest, np.maximum(bounds.most, resting)),
        )
        self._frames = min(len(known), _FRAMES_OF_REST)
        self._driver_rest = self._rest(known, [eye.opened for eye in self._eyes]).mean(0) if len(known) else None

    def __call__(self, driving: Array) -> Array:
        """Return the source's shape ``[n]`` for the driver's shape ``[n]``."""
        driving = np.asarray(driving, np.float64)
        gaps = self._space.measures(driving)
        self._learn(driving, gaps)
        assert self._driver_rest is not None
        rest = self.source_rest
        apart = self._carried * (self._driver_rest - rest)
        norm = float(np.linalg.norm(apart))
        rest = rest + apart * (min(self._towards_driver, norm) / max(norm, 1e-9))
        change = self._carried * (driving - self._driver_rest)
        change *= min(1.0, _STRANGEST / max(self._space.strangeness(change), 1e-9))
        shape = rest + change if not self._amounts.of_face else self._by_amounts(rest, change)
        return self._within_limits(shape, self._gaps(gaps))

    def _by_amounts(self, rest: Array, change: Array) -> Array:
        """Rest and a change whose regions count by their amounts; gaps of lips and lids are set elsewhere."""
        amounts = self._amounts
        resting = self._space.measures(rest)
        shape = rest + amounts.expression * change
        wanted = self._space.measures(shape)
        held = np.zeros(OTHERS.stop, bool)
        for region, amount in ((MOUTH, amounts.lips), (BROWS, amounts.brows)):
            if amount != 1:
                wanted[region] = resting[region] + amount * (wanted[region] - resting[region])
                held[region] = True
        return self._space.reach(shape, held, wanted[held]) if held.any() else shape

    def _learn(self, driving: Array, gaps: Array) -> None:
        self._eyes = [eye.widened(float(gaps[at].mean())) for eye, at in zip(self._eyes, _EYES, strict=True)]
        self._lips_shut += _SHUT_PACE * min(max(float(gaps[LIPS].mean()), 0.0) - self._lips_shut, 0.0)
        if self._frames >= _FRAMES_OF_REST and self._driver_rest is not None:
            return
        rest = self._rest(driving, [eye.opened for eye in self._eyes])
        self._frames += 1
        before = rest if self._driver_rest is None else self._driver_rest
        self._driver_rest = before + (rest - before) / max(self._frames, 8)

    def _rest(self, shape: Array, opened: Sequence[float]) -> Array:
        """The same face with its lips closed and its eyes usually open."""
        wanted = np.concatenate([np.zeros(LIPS.stop), *(gap * _PROFILE for gap in opened)])
        return self._space.reach(shape, GAPS, wanted)

    def _within_limits(self, shape: Array, gaps: Array) -> Array:
        """The likeliest shape near ``shape`` that has these gaps and whose other measures a face can have."""
        lowest, highest = self._limits
        held = np.zeros(OTHERS.stop, bool)
        held[GAPS] = True
        for _ in range(_ROUNDS):
            others = self._space.measures(shape)[OTHERS]
            held[OTHERS] |= (others < lowest - _SLACK) | (others > highest + _SLACK)
            wanted = np.concatenate([gaps, np.clip(others, lowest, highest)])
            shape = self._space.reach(shape, held, wanted[held])
        # Contacts come last: where not all can be had, lips and lids still must not cross.
        crossed = np.zeros(OTHERS.stop, bool)
        found = self._space.measures(shape)
        crossed[GAPS] = found[GAPS] < -_CROSSING
        if not crossed.any():
            return shape
        kept = np.zeros_like(crossed)
        kept[GAPS] = True
        return self._space.reach(shape, kept, np.where(crossed, 0.0, found)[kept], slack=_TIGHT)

    def _gaps(self, driving: Array) -> Array:
        """Wanted gaps of the source for the driver's measures."""
        amounts = self._amounts
        mouth = driving[LIPS]
        mean = float(mouth.mean())
        wanted = amounts.expression * amounts.lips * max(mean - self._lips_shut, 0.0)
        opened = softened(wanted, _MOUTH_FREE, _MOUTH_MOST)
        lips = np.maximum(mouth, 0) * (opened / max(mean, 1e-6))
        lids = [
            (_LIDS_MEET + self._share(eye.share(float(driving[at].mean()))) * (gap - _LIDS_MEET)) * _PROFILE
            for eye, at, gap in zip(self._eyes, _EYES, self._open, strict=True)
        ]
        return np.concatenate([lips, *lids])

    def _share(self, share: float) -> float:
        """By how much an eye is open, 1 being as usual, where the driver's is by ``share``."""
        amounts = self._amounts
        if not amounts.of_face:
            return share
        away = amounts.expression * amounts.eyes * (share - 1)
        return float(np.clip(1 + (amounts.blink * away if away < 0 else away), 0.0, WIDEST))
