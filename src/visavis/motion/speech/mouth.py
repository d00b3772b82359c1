"""From what Psi says to an expression: the mouth as wide and quick as mouths are, lids and brows as idle motion says.

What minimises a squared error moves less than real mouths do, and least where they are quick: lips that meet for an
/m/ are foretold as lips that come nearer. So quick changes of the opening are made larger, and openings are stretched
from their predicted range to that of real mouths; how wide somebody's mouth opens beside others' a reference clip says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.face.measures import BROWS, LEFT_LIDS, LIPS, OTHERS, RIGHT_LIDS
from visavis.face.model3d import FaceModel
from visavis.motion.openings import USUAL_OPEN, USUAL_SHUT
from visavis.motion.speech.rest import LID_PROFILE, FaceSpace

Array = NDArray[np.float32]

#: Shares of frames at which openings of mouths are compared, real and predicted.
QUANTILES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
#: How far openings are stretched from the predicted range, which is narrow, to that of real mouths: wide ones so far,
#: and narrow ones, down from a median opening, the more the narrower, so that lips that touch do.
WIDENED = 0.3
#: By how much an opening's distance from its mean of late grows, and over how many frames that mean is.
QUICKENED, LATELY_FRAMES = 0.3, 6
#: How much of what a reference says of a mouth's width counts (a power), and by how much it may differ from others'.
_TRUSTED, _MOST_APART = 0.5, 2.0
#: Shares of time and a little, between which widths of mouths are compared; a mouth that is told to open less than so
#: far says nothing.
_WIDE, _LITTLE, _SPEAKS = 90, 0.02, 0.05
#: A reference of fewer frames counts less.
_ENOUGH_FRAMES = 64
#: Beyond so many standard deviations no coefficient goes.
_FARTHEST = 4.0
_SLACK = 4e-3


@dataclass(frozen=True, eq=False)
class Openings:
    """How wide mouths are open, in units of the unposed face.

    Attributes:
        predicted, real: ``[13]`` at :data:`QUANTILES`, as Psi predicts them and as they are.
    """

    predicted: Array
    real: Array


class Opening:
    """How wide a mouth is open, frame by frame: mean gap of the inner lips, in units of the unposed face.

    Args:
        people: whose range predictions are stretched to.
        width: of this person's openings, over other people's.
    """

    def __init__(self, people: Openings, width: float = 1.0) -> None:
        predicted, real = (table.astype(np.float64) for table in (people.predicted, people.real))
        self._from = np.maximum.accumulate(predicted) + 1e-9 * np.arange(len(predicted))
        share = WIDENED + (1 - WIDENED) * np.clip(1 - 2 * np.array(QUANTILES), 0, 1)
        wide = (1 - share) * self._from + share * np.maximum.accumulate(real)
        self._to = np.maximum.accumulate(np.maximum(wide, 0))
        self._width = width
        self._lately: float | None = None

    def __call__(self, predicted: float) -> float:
        """The next frame's, of what Psi predicts."""
        self._lately = predicted if self._lately is None else self._lately
        self._lately += (1 - np.exp(-1 / LATELY_FRAMES)) * (predicted - self._lately)
        return self._width * self.stretched(predicted + QUICKENED * (predicted - self._lately))

    def stretched(self, predicted: float) -> float:
        """As wide as real ones are where the predicted one is as wide as predicted ones are."""
        last = self._from[-1]
        return float(np.interp(predicted, self._from, self._to)) + max(predicted - last, 0.0)


class Mouth:
    """Expressions of one person, frame by frame.

    Args:
        model: the 3D face.
        identity: ``float32 [n_id]``.
        people: how wide mouths open.
        width: of this person's openings, over other people's.
    """

    def __init__(self, model: FaceModel, identity: Array, people: Openings, width: float = 1.0) -> None:
        space = FaceSpace.of(model, identity).space
        self._most = _FARTHEST * model.expression_scale.astype(np.float64)
        held = np.zeros(OTHERS.stop, bool)
        for part in (LIPS, RIGHT_LIDS, LEFT_LIDS, BROWS, [OTHERS.start]):
            held[part] = True
        self.rows = space.measures.rows[held]
        along = space.spread @ self.rows.T
        self._along = along @ np.linalg.inv(self.rows @ along + _SLACK**2 * np.eye(len(self.rows)))
        self._opening = Opening(people, width)

    def __call__(self, change: Array, lids: float, brows: NDArray[np.float64]) -> tuple[Array, float]:
        """Expression ``[n_exp]`` of a predicted change ``[n_exp]``, and how wide the mouth is open."""
        shape = np.clip(change.astype(np.float64), -self._most, self._most)
        measured = self.rows @ shape
        gaps = np.maximum(measured[LIPS], 0)
        opening = self._opening(float(measured[LIPS].mean()))
        wanted = measured.copy()
        wanted[LIPS] = gaps * (opening / max(float(gaps.mean()), 1e-6)) if gaps.any() else opening
        wanted[RIGHT_LIDS] = wanted[LEFT_LIDS] = -(USUAL_OPEN - USUAL_SHUT) * (1 - lids) * LID_PROFILE
        wanted[LEFT_LIDS.stop + 1 :] = brows  # after the mouth's width, which stays Psi's
        return (shape + self._along @ (wanted - measured)).astype(np.float32), opening


def width_of(people: Openings, predicted: NDArray[np.float64], real: NDArray[np.floating[Any]]) -> float:
    """How wide somebody's mouth opens over what would be made of the same sound, drawn to 1 by what chance does.

    Args:
        people: how wide mouths open.
        predicted: ``[T]``, openings as Psi predicts them of the sound of a reference.
        real: ``[T]``, how wide the mouth is open in it.
    """
    opening = Opening(people)
    made, seen = (float(np.percentile(values, _WIDE)) for values in ([opening(float(one)) for one in predicted], real))
    if made < _SPEAKS:
        return 1.0
    ratio = np.clip((max(seen, 0) + _LITTLE) / (made + _LITTLE), 1 / _MOST_APART, _MOST_APART)
    return float(ratio ** (_TRUSTED * min(len(real) / _ENOUGH_FRAMES, 1)))
