"""What people read in a face, as numbers that are linear in the shape of :mod:`visavis.face.morphable`.

In an unposed face a distance between two points along one axis is linear in the shape coefficients, and signed: lips
that touch have the gap 0, lips that would cross have less. So a wanted gap is reached in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LEFT_LID_PAIRS, LIP_PAIRS, RIGHT_LID_PAIRS
from visavis.face.morphable import LinearFaceModel

Array = NDArray[np.float64]
_X, _Y, _Z = 0, 1, 2

#: From one point to another along an axis: the other ways in which a mouth and brows move.
_OTHERS = (
    ("mouth width", 61, 291, _X),
    ("right corner", 168, 61, _Y),
    ("left corner", 168, 291, _Y),
    ("upper lip", 2, 0, _Y),
    ("lower lip", 2, 17, _Y),
    ("chin", 2, 152, _Y),
    ("jaw sideways", 2, 152, _X),
    ("mouth sideways", 2, 13, _X),
    ("pout", 13, 2, _Z),
    ("right brow", 105, 33, _Y),
    ("left brow", 334, 263, _Y),
)
OTHER_NAMES = tuple(name for name, *_ in _OTHERS)

LIPS = slice(0, len(LIP_PAIRS))
RIGHT_LIDS = slice(LIPS.stop, LIPS.stop + len(RIGHT_LID_PAIRS))
LEFT_LIDS = slice(RIGHT_LIDS.stop, RIGHT_LIDS.stop + len(LEFT_LID_PAIRS))
OTHERS = slice(LEFT_LIDS.stop, LEFT_LIDS.stop + len(_OTHERS))
_AT = {name: LEFT_LIDS.stop + at for at, name in enumerate(OTHER_NAMES)}
#: Among the others, those of brows, and those of mouth and jaw.
BROWS = [_AT["right brow"], _AT["left brow"]]
MOUTH = [at for at in _AT.values() if at not in BROWS]
#: Those that must not fall below contact.
GAPS = slice(0, LEFT_LIDS.stop)


@dataclass(frozen=True)
class Measures:
    """All measures of a face model.

    Attributes:
        offset: ``float64 [k]``, the mean face's, in the model's units (the eyes' outer corners lie 1.8 apart).
        rows: ``float64 [k, n]``, what each shape coefficient adds.
    """

    offset: Array
    rows: Array

    @classmethod
    def of(cls, model: LinearFaceModel) -> Measures:
        """The measures of a model, ordered lips, right lids, left lids, others."""
        pairs = [(a, b, _Y) for a, b in LIP_PAIRS + RIGHT_LID_PAIRS + LEFT_LID_PAIRS]
        pairs += [(a, b, axis) for _, a, b, axis in _OTHERS]
        first, second, axis = np.array(pairs).T
        mean, basis = model.mean.astype(np.float64), model.basis.astype(np.float64)
        offset = mean[second, axis] - mean[first, axis]
        return cls(offset, (basis[:, second, axis] - basis[:, first, axis]).T)

    def __call__(self, shape: Array) -> Array:
        """Measures ``[..., k]`` of shape coefficients ``[..., n]``."""
        return np.asarray(self.offset + shape @ self.rows.T, np.float64)
