"""How faces move: modes of expression, and how far each part of a face goes, learned from many people.

A mode is a field over the mesh, as large as it usually is (one standard deviation), so that modes say two things: what
moves together (a jaw goes down with the lower lip), and what moves much. They belong to no face model and to no
weights: :func:`ExpressionSpace.of` expresses them in the coefficients of any face model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from visavis.face.measures import Measures
from visavis.face.morphable import LinearFaceModel, point_weights

Array = NDArray[np.float64]
_NOISE = 0.01  # of a coefficient; with it every measure can be reached
_FILE = Path(__file__).parent / "expressions.safetensors"


@dataclass(frozen=True)
class Expressions:
    """What was learned; see ``tools/learn_expressions.py``.

    Attributes:
        modes: ``float32 [m, 478, 3]`` in units of unposed meshes, each one standard deviation.
        lowest, highest: ``float32 [o]``: by how much a person's other measures
            (:data:`visavis.face.measures.OTHER_NAMES`) go below and above those of that person's resting face.
        least, most: ``float32 [o]``: between which they lie with nearly all people and expressions.
    """

    modes: NDArray[np.float32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    least: NDArray[np.float32]
    most: NDArray[np.float32]


@cache
def packaged() -> Expressions:
    """The packaged expressions."""
    arrays = load_file(_FILE)
    return Expressions(**{name: arrays[name].astype(np.float32) for name in arrays})


@dataclass(frozen=True)
class ExpressionSpace:
    """Expressions in the shape coefficients of one face model.

    Attributes:
        measures: of the model.
        spread: ``float64 [n, n]``, covariance of a person's shape coefficients, and a little noise.
        precision: ``float64 [n, n]``, its inverse.
        expressions: what it was made of.
    """

    measures: Measures
    spread: Array
    precision: Array
    expressions: Expressions

    @classmethod
    def of(cls, model: LinearFaceModel, expressions: Expressions | None = None) -> ExpressionSpace:
        """Express modes (the packaged ones by default) in a model's coefficients."""
        known = expressions or packaged()
        weights = point_weights().astype(np.float64)[:, None] ** 2
        modes = np.einsum("npd,mpd->nm", model.basis.astype(np.float64), weights * known.modes)
        spread = modes @ modes.T + _NOISE**2 * np.eye(len(modes))
        return cls(Measures.of(model), spread, np.linalg.inv(spread), known)

    def strangeness(self, change: Array) -> float:
        """How far a change of shape ``[n]`` is from what faces do, in standard deviations over all coefficients."""
        return float(np.sqrt(change @ self.precision @ change))

    def reach(self, shape: Array, measured: slice | NDArray[np.bool_], wanted: Array, *, slack: float = 4e-3) -> Array:
        """Change a shape so that some of its measures come to be ``wanted``, in the likeliest way.

        It is the change of least norm under the spread of expressions: what usually moves along does.

        Args:
            shape: ``float64 [..., n]``.
            measured: which measures.
            wanted: their values ``[..., k]``.
            slack: standard deviation by which they may be missed.
        """
        rows = self.measures.rows[measured]
        along = self.spread @ rows.T
        gram = rows @ along + slack**2 * np.eye(len(rows))
        missing = wanted - (self.measures.offset[measured] + shape @ rows.T)
        return np.asarray(shape + np.linalg.solve(gram, missing[..., None])[..., 0] @ along.T, np.float64)
