"""The measures of one person's 3D face, and that face at rest: lips closed, eyes usually open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace, packaged
from visavis.face.measures import GAPS, LIPS, Measures
from visavis.face.model3d import FaceModel
from visavis.face.morphable import LinearFaceModel
from visavis.motion.openings import USUAL_OPEN

Array = NDArray[np.float64]
_NOISE = 0.01  # of a coefficient, in standard deviations; with it every measure can be reached
#: How the gaps of an eye's lids, from its outer corner to its inner, lie to their mean.
LID_PROFILE = np.array([0.72, 1.07, 1.27, 1.16, 0.78])


@dataclass(frozen=True)
class FaceSpace:
    """Expression coefficients of one identity, and what they do to lips, lids and brows.

    Attributes:
        space: measures and likely changes.
    """

    space: ExpressionSpace

    @classmethod
    def of(cls, model: FaceModel, identity: NDArray[np.float32]) -> FaceSpace:
        """That of a person ``[n_id]``."""
        shape = model.mean + np.einsum("n,npd->pd", identity, model.identity)
        variance = model.expression_scale.astype(np.float64) ** 2
        variance = variance + _NOISE**2 * variance.mean()
        linear = LinearFaceModel(np.asarray(shape, np.float32), model.expression)
        return cls(ExpressionSpace(Measures.of(linear), np.diag(variance), np.diag(1 / variance), packaged()))

    @property
    def measures(self) -> Measures:
        """See :mod:`visavis.face.measures`."""
        return self.space.measures

    def opened(self, shape: Array) -> Array:
        """How wide mouths of faces ``[..., n_exp]`` are open ``[...]``: mean gap of the lips, in the model's units."""
        return np.asarray(self.measures(shape)[..., LIPS].mean(-1))

    def at_rest(self, shape: Array, opened: Sequence[float]) -> Array:
        """Faces ``[..., n_exp]`` with lips closed and lids ``opened``, right and left, as usual."""
        wanted = np.concatenate([np.zeros(LIPS.stop), *(gap * LID_PROFILE for gap in opened)])
        return self.space.reach(shape, GAPS, wanted)


def resting_expression(model: FaceModel, identity: NDArray[np.float32]) -> NDArray[np.float32]:
    """``float32 [n_exp]``: the likeliest resting face of somebody of whom no more than the identity is known.

    :class:`visavis.motion.speech.spoken.Spoken` says changes from such a face.
    """
    space = FaceSpace.of(model, identity)
    nothing = np.zeros(len(model.expression))
    return np.asarray(space.at_rest(nothing, [USUAL_OPEN, USUAL_OPEN]), np.float32)
